"""What methods share that look at the training rows themselves: the built-in training, and sources that are several rows."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation
    from llmattr.retraining.runs import CausalTrainer


def built_in(ablation: "RetrainingAblation", method: str) -> "CausalTrainer":
    """The `CausalTrainer` of an ablation; raises `LlmattrError` for a training of the user's own."""
    from llmattr.retraining.runs import CausalTrainer

    if not isinstance(ablation.trainer, CausalTrainer):
        raise LlmattrError(f"{method} looks at a language model and its rows, which a training function does not show")
    return ablation.trainer


def summed(values: Float[np.ndarray, "*k rows"], member: Int[np.ndarray, " rows"], n: int) -> Float[np.ndarray, "*k n"]:
    """For each of n sources the sum over its rows."""
    sums = [np.bincount(member, row, n) for row in values.reshape(-1, len(member))]
    return np.reshape(sums, (*values.shape[:-1], n))


def rows_of(member: Int[np.ndarray, " rows"], n: int) -> list[Int[np.ndarray, " _"]]:
    """The rows of each of n sources, in their order."""
    ends = np.bincount(member, minlength=n).cumsum()
    return np.split(np.argsort(member, kind="stable"), ends[:-1])
