"""Interactions: a surrogate that knows sources which say the same, and sources which work only together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Interactions:
    """Lasso with pairs of the strongest sources: finds what is said twice and what works only together.

    Scores are Shapley values of the fitted polynomial; `run["pairs"]` has the pairs: see `surrogate.pairs`.
    """

    name: ClassVar[str] = "interactions"
    family: ClassVar[str] = "datamodel"
    n_ablations: int | Literal["auto"] = option(
        64, "random subsets of the sources to score; more is slower and steadier; auto: until scores are settled", least=2
    )
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    alpha: float | Literal["auto"] = option("auto", "lasso penalty in nats; auto: the least error on held-out subsets")
    strongest: int = option(8, "so many sources with the largest effects are paired")
    bootstraps: int = option(100, "resamplings of the ablations for the standard errors; 0 for none, and nothing is cited")
    limit: int = option(256, "the most ablations that auto takes", least=16)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.pairs(
            ablation, self.n_ablations, self.keep, self.alpha, self.strongest, self.bootstraps, self.limit, seed
        )
