"""Each source alone: what one source by itself does for the response."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from llmattr.ablation import ask
from llmattr.surrogate import UNITS
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Alone:
    """Score with each source alone: exact, one ablation per source; blind to sources that only help together.

    Sufficiency where leave-one-out is necessity: of two sources that say the same both score high. SelfCite (Chuang et al.
    2025, arXiv 2502.09604) adds the two, for citations.
    """

    name: ClassVar[str] = "alone"
    family: ClassVar[str] = "game-theoretic"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """`f(only i) - f(none)` in nats of log-odds, one row per target of the ablation; `baseline` is `f(none)`."""
        n = len(ablation.sources)
        none, *each = ask(ablation, np.eye(n + 1, n, k=-1, dtype=bool))
        measure = ablation.targets.measure
        return Attribution(
            values=np.stack(each, axis=1) - none[:, None],
            sources=ablation.sources,
            targets=ablation.targets,
            unit=UNITS.get(measure, measure),
            method={"name": self.name},
            run={**ablation.record(), "seed": seed},
            baseline=none,
        )
