"""What makes a row of an index: a Protocol."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from llmattr.text.rows import Examples
from llmattr.training.gradients.project import Bases
from llmattr.training.projection import Measure

Rows = Iterator[tuple[Sequence[int], Float[np.ndarray, "b d"], Float[np.ndarray, " b"]]]


@runtime_checkable
class Vectors(Protocol):
    """What makes the rows of an index from examples."""

    @property
    def dim(self) -> int:
        """The length of a row."""
        ...

    @property
    def fitted(self) -> Bases:
        """What was fitted before the rows, kept with the index."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What run.json has to say of it."""
        ...

    def rows(self, examples: Examples, planned: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """For each batch, or part of one, its row numbers, rows, and the mean of 1 - p over each row's counted tokens."""
        ...
