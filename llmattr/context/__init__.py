"""Attribution of a response to its context: `cite`, and the methods that it takes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmattr.context.methods import METHODS

__all__ = ["METHODS"]


def __getattr__(name: str) -> Any:
    """Import the methods when they are first used: what `check` does without a model needs none of them."""
    if name != "METHODS":
        raise AttributeError(f"module 'llmattr.context' has no attribute {name!r}")
    from llmattr.context.methods import METHODS

    return METHODS
