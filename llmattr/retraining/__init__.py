"""Attribution to training data by the truth: train again without some of it and look."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmattr.retraining.methods import METHODS, ON_MASKS
from llmattr.retraining.recipe import Recipe

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation
    from llmattr.retraining.build import from_function, retrain, retraining_ablation
    from llmattr.retraining.scratch import scratch_model

__all__ = [
    "METHODS",
    "ON_MASKS",
    "Recipe",
    "RetrainingAblation",
    "from_function",
    "retrain",
    "retraining_ablation",
    "scratch_model",
]

_PLACES = {
    "RetrainingAblation": "llmattr.retraining.ablation",
    "from_function": "llmattr.retraining.build",
    "retrain": "llmattr.retraining.build",
    "retraining_ablation": "llmattr.retraining.build",
    "scratch_model": "llmattr.retraining.scratch",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'llmattr.retraining' has no attribute {name!r}")
