"""How far a small model stands for a served one: whether both rank the same ablations alike."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of a model's scores of the whole answer with a served model's, over the same ablations.

    `rank`: Spearman's, from -1 to 1 = both order the ablations alike; nan where the served model's never change. `low`, `high`:
    its 95 % interval over the ablations that were drawn (bootstrap). `model`, `server`: the served one. `by`: what was compared
    with ours, the answer's "log-probability" there, or the "similarity" of what it generates to the answer.
    """

    model: str
    server: str
    by: str
    ablations: int
    rank: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """In plain numbers."""
        return dataclasses.asdict(self)

    @staticmethod
    def of(saved: Mapping[str, Any]) -> "Agreement":
        """The inverse of `to_dict`, nan where null stands for it."""
        numbers = {name: math.nan if saved[name] is None else saved[name] for name in ("rank", "low", "high")}
        return Agreement(**{**saved, **numbers})
