"""Ridge: a linear surrogate that leaves every source its part, and its mean with the lasso."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmattr import surrogate
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Ridge:
    """Ridge on random ablations: many small parts where context-cite keeps a few large ones."""

    name: ClassVar[str] = "ridge"
    family: ClassVar[str] = "datamodel"
    n_ablations: int | Literal["auto"] = option(
        64, "random subsets of the sources to score; more is slower and steadier; auto: until scores are settled", least=2
    )
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    alpha: float | Literal["auto"] = option("auto", "squared penalty; auto: the least error on held-out subsets")
    prior: Literal["none", "gates", "hidden"] = option("none", "cheap scores to fit around, for few ablations")
    bootstraps: int = option(100, "resamplings of the ablations for the standard errors; 0 for none, and nothing is cited")
    limit: int = option(256, "the most ablations that auto takes", least=16)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        prior = prior_of(self.prior, ablation, seed)
        return surrogate.ridge(ablation, self.n_ablations, self.keep, self.alpha, prior, self.bootstraps, self.limit, seed)


@dataclass(frozen=True)
class Blend:
    """Mean of lasso and ridge on random ablations: steadier than either."""

    name: ClassVar[str] = "blend"
    family: ClassVar[str] = "datamodel"
    n_ablations: int | Literal["auto"] = option(
        64, "random subsets of the sources to score; more is slower and steadier; auto: until scores are settled", least=2
    )
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    prior: Literal["none", "gates", "hidden"] = option("none", "cheap scores to fit around, for few ablations")
    bootstraps: int = option(100, "resamplings of the ablations for the standard errors; 0 for none, and nothing is cited")
    limit: int = option(256, "the most ablations that auto takes", least=16)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        prior = prior_of(self.prior, ablation, seed)
        return surrogate.blend(ablation, self.n_ablations, self.keep, prior, self.bootstraps, self.limit, seed)


def prior_of(kind: Any, ablation: "ContextAblation", seed: int) -> Any:
    """The prior's scores [t, n], or None."""
    if kind == "none":
        return None
    from llmattr.context.prior import prior_values

    return prior_values(kind, ablation, seed)
