"""The first steps of a training."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from llmattr.retraining import Recipe


@dataclass(frozen=True)
class FirstSteps(Recipe):
    """A recipe of which only the first `only` steps are done, with the step sizes of the whole."""

    only: int = 1

    def batches(self, kept: Bool[np.ndarray, " n"], seed: int) -> Int[np.ndarray, "steps b"]:
        """The rows of the first steps."""
        return super().batches(kept, seed)[: self.only]
