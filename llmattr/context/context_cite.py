"""ContextCite: a sparse linear surrogate of the response's log-odds over random removals of sources."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class ContextCite:
    """Lasso on random ablations (Cohen-Wang et al. 2024, arXiv 2409.00729): sparse, the usual choice.

    `outputs = log(p / (1 - p))` of each target's probability p, divided by its number of tokens T for the fit, so that
    alpha is a penalty per response token; the weights come back times T, in nats of the whole target.
    """

    name: ClassVar[str] = "context-cite"
    n_ablations: int = option(64, "random subsets of the sources to score; more is slower and steadier", least=2)
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    alpha: float = option(0.01, "lasso penalty in nats per response token; higher leaves fewer sources")
    bootstraps: int = option(100, "resamplings of the ablations for the standard errors; 0 for none")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        options = {"n_ablations": self.n_ablations, "keep": self.keep, "alpha": self.alpha, "bootstraps": self.bootstraps}
        return surrogate.lasso(ablation, **options, scale=ablation.token_counts, seed=seed)
