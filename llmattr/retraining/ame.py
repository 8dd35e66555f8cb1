"""The average marginal effect: what a source adds to a fifth of the others, to two, three and four fifths, on average."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Ame:
    """Average marginal effect (Lin et al. 2022, arXiv 2206.10013): a lasso on models that keep .2, .4, .6 or .8 of the data."""

    name: ClassVar[str] = "ame"
    family: ClassVar[str] = "game-theoretic"
    n_models: int = option(256, "the most models to train; exact where they suffice for every subset", least=8)
    alpha: float | Literal["auto"] = option("auto", "lasso penalty in the outputs' unit; auto: the least held-out error")
    bootstraps: int = option(20, "resamplings of the models for the standard errors; 0 for none, and nothing is cited")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Effects, one row for each target of the ablation."""
        return surrogate.ame(ablation, self.n_models, alpha=self.alpha, bootstraps=self.bootstraps, seed=seed)
