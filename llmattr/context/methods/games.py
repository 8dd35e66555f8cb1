"""Sources as players of a game whose worth is what the target has: Shapley, Banzhaf, each left out, each alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from llmattr import surrogate
from llmattr.ablation import ask
from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.surrogate.sampling import attribution

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


@dataclass(frozen=True)
class Shapley:
    """Shapley values: the scores add up to what the whole context does; exact for few sources.

    Of a source, its mean marginal effect over all orders in which the sources can come.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "shapley"
    family: ClassVar[str] = "game-theoretic"
    n_ablations: int | Literal["auto"] = option(
        256, "the most subsets to score; exact where they suffice for all; auto: orders until values are settled", least=2
    )
    estimator: Literal["auto", "exact", "regression", "permutation", "kernel"] = option(
        "auto", "auto: exact for few sources, else regression: a linear fit, and what it leaves"
    )
    truncate: float = option(0.0, "with permutation: an order ends this near (in nats) to the whole context's output")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.shapley(ablation, self.n_ablations, self.estimator, self.truncate, seed)


@dataclass(frozen=True)
class Banzhaf:
    """Banzhaf values: what a source adds to a random half of the others; exact for few sources.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "banzhaf"
    family: ClassVar[str] = "game-theoretic"
    n_ablations: int = option(256, "the most subsets of the sources to score; exact where they suffice for all", least=4)
    estimator: Literal["auto", "exact", "regression", "sample"] = option(
        "auto", "auto: exact for few sources, else regression: a linear fit, and what it leaves"
    )

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        return surrogate.banzhaf(ablation, self.n_ablations, self.estimator, seed)


@dataclass(frozen=True)
class LeaveOneOut:
    """Score without each source in turn: exact, one ablation per source; blind to sources that say the same.

    Cost: n + 1
    """

    name: ClassVar[str] = "leave-one-out"
    family: ClassVar[str] = "predictive"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """`f(all) - f(all but one)` in nats of log-odds, one row per target of the ablation."""
        return surrogate.leave_one_out(ablation, seed)


@dataclass(frozen=True)
class Alone:
    """Score with each source alone: exact, one ablation per source; blind to sources that only help together.

    Sufficiency where leave-one-out is necessity: of two sources that say the same both score high. SelfCite (Chuang et al.
    2025, arXiv 2502.09604) adds the two, for citations.

    Cost: n + 1
    """

    name: ClassVar[str] = "alone"
    family: ClassVar[str] = "game-theoretic"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """`f(only i) - f(none)` in nats of log-odds, one row per target of the ablation; `baseline` is `f(none)`."""
        n = len(ablation.sources)
        none, *each = ask(ablation, np.eye(n + 1, n, k=-1, dtype=bool))
        values = np.stack(each, axis=1) - none[:, None]
        return attribution(ablation, {"name": self.name}, {"seed": seed}, values=values, baseline=none)
