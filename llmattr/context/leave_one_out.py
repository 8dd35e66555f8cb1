"""Leave-one-out: what is lost when one source alone is removed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr import surrogate
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class LeaveOneOut:
    """Score without each source in turn: exact, one ablation per source; blind to sources that say the same."""

    name: ClassVar[str] = "leave-one-out"
    family: ClassVar[str] = "game-theoretic"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """`f(all) - f(all but one)` in nats of log-odds, one row per target of the ablation."""
        return surrogate.leave_one_out(ablation, seed)
