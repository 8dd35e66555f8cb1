"""ContextCite: a sparse linear surrogate of the response's log-odds over random removals of sources."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.context.ridge import prior_of
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class ContextCite:
    """Lasso on random ablations (Cohen-Wang et al. 2024, arXiv 2409.00729): sparse, the usual choice.

    `outputs = log(p / (1 - p))` of each target's probability p, divided by its number of tokens T for the fit, so that a given
    alpha is a penalty per response token (the paper's is 0.01); the weights come back times T, in nats of the whole target.
    """

    name: ClassVar[str] = "context-cite"
    family: ClassVar[str] = "datamodel"
    n_ablations: int | Literal["auto"] = option(
        64, "random subsets of the sources to score; more is slower and steadier; auto: until scores are settled", least=2
    )
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    alpha: float | Literal["auto"] = option(
        "auto", "lasso penalty in nats per response token (0.01 in the paper); auto: the least error on held-out subsets"
    )
    prior: Literal["none", "gates", "hidden"] = option("none", "cheap scores to fit around, for few ablations")
    bootstraps: int = option(100, "resamplings of the ablations for the standard errors; 0 for none, and nothing is cited")
    limit: int = option(256, "the most ablations that auto takes", least=16)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.lasso(
            ablation,
            self.n_ablations,
            self.keep,
            self.alpha,
            scale=ablation.token_counts,
            prior=prior_of(self.prior, ablation, seed),
            bootstraps=self.bootstraps,
            limit=self.limit,
            seed=seed,
        )
