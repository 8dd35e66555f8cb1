"""Conformance of anyone's own method: `check_method(MyMethod())`, in the manner of scikit-learn's `check_estimator`."""

from llmattr.testing.checks import Kind, RetrievesItself, check_method

__all__ = ["Kind", "RetrievesItself", "check_method"]
