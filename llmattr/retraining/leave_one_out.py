"""Leave-one-out: train again without each source."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr import surrogate
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class LeaveOneOut:
    """What is lost when the model is trained without one source; n + 1 models with one seed, up to 16 with two."""

    name: ClassVar[str] = "leave-one-out"
    family: ClassVar[str] = "game-theoretic"

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """`f(all) - f(all but i)`, one row for each target, with the error of the draw of the seeds in a difference."""
        from llmattr.retraining.ablation import RetrainingAblation

        paired = (
            ablation.with_pairs() if isinstance(ablation, RetrainingAblation) else ablation
        )  # other functions have no seeds
        return surrogate.leave_one_out(paired, seed)
