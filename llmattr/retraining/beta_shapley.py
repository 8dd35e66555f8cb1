"""Beta Shapley: Shapley's value where what a row adds to few others counts more."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class BetaShapley:
    """Beta Shapley (Kwon and Zou 2022, arXiv 2110.14049): what a source adds, above all to few others; less noise."""

    name: ClassVar[str] = "beta-shapley"
    family: ClassVar[str] = "game-theoretic"
    n_models: int = option(256, "the most models to train; exact where they suffice for every subset", least=4)
    alpha: float = option(16.0, "large: what a source adds to few others counts most; both 1: Shapley's value", least=1e-6)
    beta: float = option(1.0, "large: what it adds to most others counts most", least=1e-6)

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Beta Shapley values, one row for each target of the ablation."""
        return surrogate.beta_shapley(ablation, self.n_models, self.alpha, self.beta, seed)
