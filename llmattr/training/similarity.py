"""Inner products of gradients: grad-dot and grad-cos."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from llmattr.training.index import GradientIndex

Weighed = tuple[
    Float[np.ndarray, "t d"], Float[np.ndarray, " n"] | None
]  # queries to multiply rows with, and a factor for each row


@dataclass(frozen=True)
class GradDot:
    """`g_query . g_row`: what one step on the row takes off the query's loss (TracIn, one checkpoint: arXiv 2002.08484)."""

    name: ClassVar[str] = "grad-dot"
    measure: ClassVar[str] = "loss"

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Scores are `factor[n] * (rows @ weighed.T)`."""
        return queries, None


@dataclass(frozen=True)
class GradCos:
    """Cosine of the two gradients: as grad-dot, but long and surprising rows do not win by their size."""

    name: ClassVar[str] = "grad-cos"
    measure: ClassVar[str] = "loss"

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return unit(queries), inverse(index.norms())


def unit(rows: Float[np.ndarray, "t d"]) -> Float[np.ndarray, "t d"]:
    """Rows at length 1; a row of zeros stays."""
    return rows * inverse(np.linalg.norm(rows, axis=1))[:, None]


def inverse(lengths: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 / length, 0 for 0."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
