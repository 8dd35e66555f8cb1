"""Datamodels: a sparse linear prediction of what a model says when it is trained on any part of the data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Datamodel:
    """Lasso on models trained on random subsets (Ilyas et al. 2022, arXiv 2202.00622); predicts removals.

    Weights of 0/1 masks in the outputs' unit, `outputs = baseline + masks @ values`. The penalty is the one with the least
    held-out error, for each target.

    Cost: 300
    """

    name: ClassVar[str] = "datamodel"
    family: ClassVar[str] = "datamodel"
    n_models: int = option(300, "models trained on random subsets; more is steadier", least=2)
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    alpha: float | Literal["auto"] = option("auto", "lasso penalty in the outputs' unit; auto: the least held-out error")
    bootstraps: int = option(20, "resamplings of the models for the standard errors; 0 for none, and nothing is cited")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Weights, one row for each target of the ablation."""
        return surrogate.lasso(ablation, self.n_models, self.keep, self.alpha, bootstraps=self.bootstraps, seed=seed)
