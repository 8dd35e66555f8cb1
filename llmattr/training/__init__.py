"""Attribution of what a model says to its training data: `trace`, indexes, and the methods that they take."""

from llmattr.training.methods import METHODS
from llmattr.training.projection import Projection

__all__ = ["METHODS", "Projection"]
