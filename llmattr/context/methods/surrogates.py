"""Fits on random ablations: ContextCite's lasso, ridge, their blend, and a lasso with pairs of sources."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr import surrogate
from llmattr.context.methods.prior import PriorKind, prior_values
from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.surrogate.fitting import BOOTSTRAPS, KEEP, LIMIT, N_ABLATIONS
from llmattr.surrogate.linear import Alpha
from llmattr.surrogate.sampling import Count

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation

PRIOR: PriorKind = option("none", "cheap scores to fit around, for few ablations")


@dataclass(frozen=True)
class ContextCite:
    """Lasso on random ablations (Cohen-Wang et al. 2024, arXiv 2409.00729): sparse, the usual choice.

    `outputs = log(p / (1 - p))` of each target's probability p, divided by its number of tokens T for the fit with a given
    alpha, so that this is a penalty per response token (the paper's is 0.01); the weights come back times T, in nats of the
    whole target. The penalty is chosen on held-out removals where none is given.

    Cost: 64
    """

    name: ClassVar[str] = "context-cite"
    family: ClassVar[str] = "datamodel"
    n_ablations: Count = N_ABLATIONS
    keep: float = KEEP
    alpha: Alpha = option(
        "auto", "lasso penalty in nats per response token (0.01 in the paper); auto: the least error on held-out subsets"
    )
    prior: PriorKind = PRIOR
    bootstraps: int = BOOTSTRAPS
    limit: int = LIMIT

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.lasso(
            ablation,
            self.n_ablations,
            self.keep,
            self.alpha,
            scale=ablation.token_counts,
            prior=prior_values(self.prior, ablation, seed),
            bootstraps=self.bootstraps,
            limit=self.limit,
            seed=seed,
        )


@dataclass(frozen=True)
class Ridge:
    """Ridge on random ablations: many small parts where context-cite keeps a few large ones.

    Cost: 64
    """

    name: ClassVar[str] = "ridge"
    family: ClassVar[str] = "datamodel"
    n_ablations: Count = N_ABLATIONS
    keep: float = KEEP
    alpha: Alpha = option("auto", "squared penalty; auto: the least error on held-out subsets")
    prior: PriorKind = PRIOR
    bootstraps: int = BOOTSTRAPS
    limit: int = LIMIT

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.ridge(
            ablation,
            self.n_ablations,
            self.keep,
            self.alpha,
            prior=prior_values(self.prior, ablation, seed),
            bootstraps=self.bootstraps,
            limit=self.limit,
            seed=seed,
        )


@dataclass(frozen=True)
class Blend:
    """Mean of lasso and ridge on random ablations: steadier than either.

    Cost: 64
    """

    name: ClassVar[str] = "blend"
    family: ClassVar[str] = "datamodel"
    n_ablations: Count = N_ABLATIONS
    keep: float = KEEP
    prior: PriorKind = PRIOR
    bootstraps: int = BOOTSTRAPS
    limit: int = LIMIT

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.blend(
            ablation,
            self.n_ablations,
            self.keep,
            prior=prior_values(self.prior, ablation, seed),
            bootstraps=self.bootstraps,
            limit=self.limit,
            seed=seed,
        )


@dataclass(frozen=True)
class Interactions:
    """Lasso with pairs of the strongest sources: finds what is said twice and what works only together.

    Scores are Shapley values of the fitted polynomial: a pair's effect is shared between its two (`surrogate.pairs`).
    `details["pairs"]` has the pairs.

    Cost: 64
    """

    name: ClassVar[str] = "interactions"
    family: ClassVar[str] = "datamodel"
    n_ablations: Count = N_ABLATIONS
    keep: float = KEEP
    alpha: Alpha = option("auto", "lasso penalty in nats; auto: the least error on held-out subsets")
    strongest: int = option(8, "so many sources with the largest effects are paired")
    bootstraps: int = BOOTSTRAPS
    limit: int = LIMIT

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.pairs(
            ablation,
            self.n_ablations,
            self.keep,
            self.alpha,
            strongest=self.strongest,
            bootstraps=self.bootstraps,
            limit=self.limit,
            seed=seed,
        )
