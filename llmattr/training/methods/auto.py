"""`auto`: a method for what is asked, by what is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.method import option
from llmattr.errors import note
from llmattr.training.methods.preconditioned import Trak

if TYPE_CHECKING:
    from llmattr.training.contract import TrainingMethod

Purpose = Literal["finding", "predicting"]


@dataclass(frozen=True)
class Auto:
    """The method that did best for this purpose with what is there; it says which one it takes, and why."""

    name: ClassVar[str] = "auto"
    for_: Purpose = option("finding", "finding the rows that taught it, or predicting what it says without some of them")

    def choose(self, checkpoints: int) -> "TrainingMethod":
        """The method for this many checkpoints, with a note of the choice."""
        method, why = self._choice(checkpoints)
        note(f"auto takes {method.name} for {self.for_}: {why}")
        return method

    def _choice(self, checkpoints: int) -> "tuple[TrainingMethod, str]":
        if self.for_ == "predicting" and checkpoints > 1:
            return Trak(), f"it foretells retraining best, from {checkpoints} checkpoints better than from one"
        return Trak(), "with the head's gradients it foretells retraining best"
