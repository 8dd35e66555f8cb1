"""Attribution of what a model says to its own parts: attention heads, MLPs, layers, neurons."""

from llmattr.components.methods import METHODS

__all__ = ["METHODS"]
