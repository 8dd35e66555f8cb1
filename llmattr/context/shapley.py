"""Shapley: what a source adds to the sources before it, averaged over all orders."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Shapley:
    """Shapley values: the scores add up to what the whole context does; exact for few sources."""

    name: ClassVar[str] = "shapley"
    family: ClassVar[str] = "game-theoretic"
    n_ablations: int | Literal["auto"] = option(
        256, "the most subsets to score; exact where they suffice for all; auto: orders until values are settled", least=2
    )
    estimator: Literal["auto", "exact", "permutation", "kernel"] = option("auto", "auto: exact for few sources, else kernel")
    truncate: float = option(0.0, "with permutation: an order ends this near (in nats) to the whole context's output")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.shapley(ablation, self.n_ablations, self.estimator, self.truncate, seed)
