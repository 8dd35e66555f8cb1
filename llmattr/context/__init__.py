"""Attribution of a response to its context: `cite`, and the methods that it takes."""

from llmattr.context.methods import METHODS

__all__ = ["METHODS"]
