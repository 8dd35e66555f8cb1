"""Methods that ask ablations alone: one component less, random parts of the model, and components as players of a game."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.components.live import of_live
from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.surrogate.linear import Alpha

if TYPE_CHECKING:
    from llmattr.components.ablation import ComponentAblation
    from llmattr.components.live import Live


@dataclass(frozen=True)
class LeaveOneOut:
    """What is lost without each component alone: exact, one ablation each; blind to components that stand in for each other.

    Cost: n + 1
    """

    name: ClassVar[str] = "leave-one-out"
    family: ClassVar[str] = "predictive"

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """`f(all) - f(all but i)`, one row for each target of the ablation."""
        return surrogate.leave_one_out(ablation, seed)


@dataclass(frozen=True)
class Coar:
    """Ridge on random ablations (COAR: Shah et al. 2024, arXiv 2404.11534), around what gradients foretell.

    `f = baseline + masks @ values`, the best where a component is kept with the chance `keep`: near 1 as in the paper, since a
    model that lacks half of its parts says nothing. The prior may be taken alone, where no fit foretells held-out ablations
    better.

    Cost: 300
    """

    name: ClassVar[str] = "coar"
    family: ClassVar[str] = "datamodel"
    n_ablations: int = option(300, "random parts of the model to run; more is steadier", least=2)
    keep: float = option(0.95, "chance that a component is kept", below=1)
    alpha: Alpha = option("auto", "squared penalty; auto: the least error on held-out ablations")
    prior: Literal["gradients", "none"] = option("gradients", "cheap scores to fit around (attribution-patching)")
    bootstraps: int = option(20, "resamplings of the ablations for the standard errors; 0 for none")

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Weights, one row for each target of the ablation."""
        prior = ablation.gradients() if self.prior == "gradients" else None
        options = {"bootstraps": self.bootstraps, "seed": seed}

        def fit(live: "Live") -> Attribution:
            known = None if prior is None else prior[:, live.places]
            return surrogate.ridge(live, self.n_ablations, self.keep, self.alpha, prior=known, **options)

        return of_live(ablation, fit)


@dataclass(frozen=True)
class Shapley:
    """Shapley values: the scores add up to what all components do together; for few of them, such as layers.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "shapley"
    family: ClassVar[str] = "game-theoretic"
    n_ablations: int = option(256, "the most ablations; exact where they suffice for every subset", least=2)

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Shapley values, one row for each target of the ablation."""
        return of_live(ablation, lambda live: surrogate.shapley(live, self.n_ablations, seed=seed))


@dataclass(frozen=True)
class Banzhaf:
    """Banzhaf values: what a component adds to a random half of the others; for few of them, such as layers.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "banzhaf"
    family: ClassVar[str] = "game-theoretic"
    n_ablations: int = option(256, "the most ablations; exact where they suffice for every subset", least=4)

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Banzhaf values, one row for each target of the ablation."""
        return of_live(ablation, lambda live: surrogate.banzhaf(live, self.n_ablations, seed=seed))
