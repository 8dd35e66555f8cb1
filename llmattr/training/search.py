"""Scores of training rows, block by block, and the running choice of the highest and lowest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from llmattr.training.index import GradientIndex

Block = tuple[Int[np.ndarray, " b"], Float[np.ndarray, "t b"]]  # row numbers, and every query's scores of them
TILE = 512  # rows turned to float32 at once: what fits a processor's cache


@dataclass(frozen=True, eq=False)
class Weighed:
    """What an index's rows are multiplied with: scores are `(queries @ rows.T) * factor * outer`.

    With several checkpoints the products are summed over them, and `outer` is averaged (TRAK's output-to-loss term).
    """

    queries: Float[np.ndarray, "t d"]
    factor: Float[np.ndarray, " n"] | None = None
    outer: Float[np.ndarray, " n"] | None = None


def chosen_products(index: GradientIndex, weighed: Weighed, rows: Int[np.ndarray, " b"]) -> Iterator[Block]:
    """Inner products with these rows of an index alone."""
    block = index.vectors[rows].astype(np.float32) @ weighed.queries.T.astype(np.float32)
    factor = index.scales[rows] if weighed.factor is None else index.scales[rows] * weighed.factor[rows]
    yield rows, block.T * factor.astype(np.float64)


def products(index: GradientIndex, weighed: Weighed, block: int = 2**14) -> Iterator[Block]:
    """Inner products with every row of an index, read once from first to last; `outer` is left to the caller."""
    columns = np.ascontiguousarray(weighed.queries.T, dtype=np.float32)
    tile = np.empty((TILE, index.run["dim"]), dtype=np.float32)
    for start in range(0, len(index), block):
        rows = np.arange(start, min(start + block, len(index)))
        out = np.empty((len(rows), columns.shape[1]), dtype=np.float32)
        for low in range(0, len(rows), TILE):
            part = index.vectors[start + low : start + min(low + TILE, len(rows))]
            np.copyto(tile[: len(part)], part)
            np.matmul(tile[: len(part)], columns, out=out[low : low + TILE])
        factor = index.scales[rows] if weighed.factor is None else index.scales[rows] * weighed.factor[rows]
        yield rows, out.T * factor.astype(np.float64)


def added(parts: Sequence[Iterable[Block]]) -> Iterator[Block]:
    """The sum of the scores of several checkpoints, whose blocks hold the same rows."""
    for blocks in zip(*parts, strict=True):
        yield blocks[0][0], np.sum([scores for _, scores in blocks], axis=0)


class Top:
    """A running choice of the k highest and k lowest scores of each query, over blocks of rows, in memory of t x 2k."""

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self.kept: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, dtype=np.int64))] * queries

    def add(self, rows: Int[np.ndarray, " b"], scores: Float[np.ndarray, "t b"]) -> None:
        """Look at more rows."""
        for t, (values, numbers) in enumerate(self.kept):
            self.kept[t] = _both_ends(np.append(values, scores[t]), np.append(numbers, rows), self.k)

    def result(self) -> tuple[Float[np.ndarray, "t k"], Int[np.ndarray, "t k"]]:
        """Scores, highest first, and the rows that have them; equal scores in the order of their rows."""
        ordered = [_sorted(values, numbers) for values, numbers in self.kept]
        return np.stack([values for values, _ in ordered]), np.stack([numbers for _, numbers in ordered])


def _both_ends(values: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    if len(values) <= 2 * k:
        return values, rows
    parted = np.partition(values, (k - 1, len(values) - k))
    near = (values <= parted[k - 1]) | (values >= parted[len(values) - k])
    values, rows = _sorted(values[near], rows[near])
    return np.append(values[:k], values[-k:]), np.append(rows[:k], rows[-k:])


def _sorted(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((rows, -values))
    return values[order], rows[order]
