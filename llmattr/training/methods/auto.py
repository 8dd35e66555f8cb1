"""`auto`: a method for what is asked, by what is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.method import option
from llmattr.training.methods.preconditioned import TrackStar, Trak

if TYPE_CHECKING:
    from llmattr.training.contract import TrainingMethod

Purpose = Literal["finding", "predicting"]


@dataclass(frozen=True)
class Auto:
    """The method that did best for a purpose in our benchmarks; it says which one it takes, and why."""

    name: ClassVar[str] = "auto"
    for_: Purpose = option("finding", "finding the rows that taught it, or predicting what it says without some of them")

    def choose(self, checkpoints: int, adapter: bool = False) -> "tuple[TrainingMethod, str]":
        """The method, and what to say of it and of what would be better; of an `adapter` it takes its own gradients."""
        whose = "the adapter's" if adapter else "the head's" if self.for_ == "predicting" else "the head's and the embedding's"
        if self.for_ == "finding":
            # Second moments (of data or optimizer) before the projection found fewer rows, on a real fine-tune and four worlds.
            method: TrainingMethod = TrackStar(normalize="none", parameters="auto" if adapter else "head+embedding")
            why = f"cosines of {whose} whitened gradients find best the rows that teach a fact"
        else:
            method, why = Trak(), f"TRAK of {whose} gradients foretells retraining best"
        several = "" if checkpoints > 1 else "; several --checkpoints of the run do better than its last"
        return method, f"auto takes {method.name} for {self.for_}: {why}{several}"
