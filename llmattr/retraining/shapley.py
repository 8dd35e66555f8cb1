"""Data Shapley: what a source adds to the sources that a model was trained on before it, averaged over all orders."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Shapley:
    """Data Shapley (Ghorbani and Zou 2019, arXiv 1904.02868): the scores add up to what all the data does."""

    name: ClassVar[str] = "shapley"
    family: ClassVar[str] = "game-theoretic"
    n_models: int | Literal["auto"] = option(
        256,
        "the most models to train; exact where these suffice for all subsets; auto: orders until values are settled",
        least=2,
    )
    estimator: Literal["auto", "exact", "permutation", "kernel"] = option("auto", "auto: exact for few sources, else kernel")
    truncate: float = option(0.0, "with permutation: an order ends this near (in nats) to the output with all the data")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Shapley values, one row for each target of the ablation."""
        return surrogate.shapley(ablation, self.n_models, self.estimator, self.truncate, seed)
