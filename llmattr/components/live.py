"""Components that nothing reads: no source to a fit, which would see chance in them. Their scores are exactly 0."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets

if TYPE_CHECKING:
    from llmattr.components.ablation import ComponentAblation


@dataclass(frozen=True, eq=False)
class Live:
    """An `Ablation` of the components at these places alone; the others stay in the model, where they change nothing."""

    whole: "ComponentAblation"
    places: Int[np.ndarray, " k"]

    @property
    def sources(self) -> Sources:
        """The components that something reads."""
        every = self.whole.sources
        return Sources(every.kind, [every.ids[int(i)] for i in self.places], [every.texts[int(i)] for i in self.places])

    @property
    def targets(self) -> Targets:
        """As of the whole."""
        return self.whole.targets

    def __call__(self, masks: Bool[np.ndarray, "m k"]) -> Float[np.ndarray, "m t"]:
        """The value of each target under each mask, in nats."""
        every = np.ones((len(masks), len(self.whole.sources)), dtype=bool)
        every[:, self.places] = masks
        return self.whole(every)

    def record(self) -> dict[str, Any]:
        """As of the whole."""
        return self.whole.record()

    def spread(self, values: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "t n"]:
        """These at their places, and 0 elsewhere."""
        every = np.zeros((len(values), len(self.whole.sources)))
        every[:, self.places] = values
        return every


def of_live(ablation: "ComponentAblation", attribute: Callable[[Live], Attribution]) -> Attribution:
    """What `attribute` says of the components that something reads; 0, with an error of 0, of the others."""
    live = Live(ablation, np.flatnonzero(~ablation.dead()))
    found = attribute(live)
    stderr = None if found.stderr is None else live.spread(found.stderr)
    return dataclasses.replace(found, sources=ablation.sources, values=live.spread(found.values), stderr=stderr)
