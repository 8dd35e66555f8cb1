"""Banzhaf: what a source adds to a random half of the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Banzhaf:
    """Banzhaf values: what a source adds to a random half of the others; exact for few sources."""

    name: ClassVar[str] = "banzhaf"
    family: ClassVar[str] = "game-theoretic"
    n_ablations: int = option(256, "the most subsets of the sources to score; exact where they suffice for all", least=4)
    estimator: Literal["auto", "exact", "sample"] = option("auto", "auto: exact for few sources, else sample")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.banzhaf(ablation, self.n_ablations, self.estimator, seed)
