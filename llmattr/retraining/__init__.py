"""Attribution to training data by the truth: train again without some of it and look.

To add a method: one file with a frozen dataclass (`name`, `family`, `attribute(ablation, seed) -> Attribution`), and one line
in `METHODS` (by way of `ON_MASKS` where it takes any function of masks).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmattr.retraining.methods.data_oob import DataOob
from llmattr.retraining.methods.datamodels import Datamodel
from llmattr.retraining.methods.games import Ame, Banzhaf, BetaShapley, LeaveOneOut, Shapley
from llmattr.retraining.methods.in_run import InRunShapley
from llmattr.retraining.methods.knn_shapley import KnnShapley
from llmattr.retraining.methods.linear_probe import LinearProbe
from llmattr.retraining.recipe import Recipe

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation
    from llmattr.retraining.build import from_function, retrain, retraining_ablation
    from llmattr.retraining.scratch import scratch_model

# Their scores are effects on the outputs of trained models, so that sums of them predict what a removal does.
ON_MASKS = (Datamodel, LeaveOneOut, Shapley, Banzhaf, BetaShapley, Ame)
METHODS = {method.name: method for method in (*ON_MASKS, DataOob, InRunShapley, KnnShapley, LinearProbe)}

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
