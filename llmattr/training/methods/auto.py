"""`auto`: a method for what is asked, by what is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.method import option
from llmattr.errors import note
from llmattr.training.methods.preconditioned import TrackStar, Trak

if TYPE_CHECKING:
    from llmattr.training.contract import TrainingMethod

Purpose = Literal["finding", "predicting"]


@dataclass(frozen=True)
class Auto:
    """The method that did best for a purpose in our benchmarks; it says which one it takes, and why."""

    name: ClassVar[str] = "auto"
    for_: Purpose = option("finding", "finding the rows that taught it, or predicting what it says without some of them")

    def choose(self, checkpoints: int) -> "TrainingMethod":
        """The method, with a note of the choice and of what would be better."""
        if self.for_ == "finding":
            method, why = TrackStar(), "cosines of the head's whitened gradients find the rows that teach a fact"
        else:
            method, why = Trak(), "TRAK of the head's gradients foretells retraining"
        several = "" if checkpoints > 1 else "; several --checkpoints of the run do better than its last"
        note(f"auto takes {method.name} for {self.for_}: {why}{several}")
        return method
