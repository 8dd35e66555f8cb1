"""Data Banzhaf: what a source adds to a random half of the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Banzhaf:
    """Data Banzhaf (Wang and Jia 2023, arXiv 2205.15466): robust to the noise of training; every model serves every source."""

    name: ClassVar[str] = "banzhaf"
    family: ClassVar[str] = "game-theoretic"
    n_models: int = option(256, "the most models to train; exact where they suffice for every subset", least=4)
    estimator: Literal["auto", "exact", "sample"] = option("auto", "auto: exact for few sources, else random subsets")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Banzhaf values, one row for each target of the ablation."""
        return surrogate.banzhaf(ablation, self.n_models, self.estimator, seed)
