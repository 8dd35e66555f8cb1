"""What an attribution is worth: scores of several runs as random variables, and how far they agree."""

from llmattr.certainty.replicates import Replicates, replicated, replicates
from llmattr.certainty.significance import benjamini_hochberg, power_of, runs_needed, t_test
from llmattr.certainty.stability import Stability, nogueira, stability
from llmattr.certainty.variance import variance_components

__all__ = [
    "Replicates",
    "Stability",
    "benjamini_hochberg",
    "nogueira",
    "power_of",
    "replicated",
    "replicates",
    "runs_needed",
    "stability",
    "t_test",
    "variance_components",
]
