"""Scores of training rows, block by block, and the running choice of the highest and lowest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError
from llmattr.training.index.store import GradientIndex

Block = tuple[Int[np.ndarray, " b"], Float[np.ndarray, "t b"]]  # row numbers, and every query's scores of them
TILE = 512  # rows turned to float32 at once: what fits a processor's cache


@dataclass(frozen=True, eq=False)
class Weighed:
    """What an index's rows g are multiplied with: scores are `query . g`; with `cosine` over `|g|`, or `|g W|` of a `root` W.

    With several checkpoints these are summed over them, and `outer`, a factor of each row, is averaged (`combined`).
    """

    queries: Float[np.ndarray, "t d"]
    cosine: bool = False
    root: Float[np.ndarray, "d d"] | None = None
    outer: Float[np.ndarray, " n"] | None = None

    def single(self) -> "Weighed":
        """The same in float32, which rows are multiplied in."""
        root = None if self.root is None else self.root.astype(np.float32)
        return replace(self, queries=np.ascontiguousarray(self.queries, dtype=np.float32), root=root)

    def products(self, stored: Float[np.ndarray, "b d"], scales: Float[np.ndarray, " b"]) -> Float[np.ndarray, "b t"]:
        """Scores of rows `scales * stored`, without `outer`."""
        found = stored @ self.queries.T
        if not self.cosine:
            return found * scales[:, None]
        sides = stored if self.root is None else stored @ self.root
        return found * inverse(np.sqrt(np.einsum("bd,bd->b", sides, sides)))[:, None]


def inverse(lengths: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 / length, 0 for 0."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def chosen_products(index: GradientIndex, weighed: Weighed, rows: Int[np.ndarray, " b"]) -> Iterator[Block]:
    """Products with these rows of an index alone."""
    weighed = weighed.single()
    yield rows, weighed.products(index.vectors[rows].astype(np.float32), index.scales[rows]).T.astype(np.float64)


def products(index: GradientIndex, weighed: Weighed, block: int = 2**14) -> Iterator[Block]:
    """Products with every row of an index, read once from first to last; `outer` is left to the caller."""
    weighed, tile = weighed.single(), np.empty((TILE, index.run["dim"]), dtype=np.float32)
    for start in range(0, len(index), block):
        rows = np.arange(start, min(start + block, len(index)))
        out = np.empty((len(rows), len(weighed.queries)), dtype=np.float64)
        for low in range(0, len(rows), TILE):
            part = slice(start + low, start + min(low + TILE, len(rows)))
            held = tile[: part.stop - part.start]
            np.copyto(held, index.vectors[part])
            out[low : low + TILE] = weighed.products(held, index.scales[part])
        yield rows, out.T


def combined(parts: Sequence[tuple[Iterable[Block], Float[np.ndarray, " n"] | None]]) -> Iterator[Block]:
    """The scores of one or several checkpoints, whose blocks hold the same rows: `sum_c products_c * mean_c outer_c`.

    TRAK averages the products and the terms each by itself (arXiv 2303.14186, equation 17; its products come divided by the
    number of checkpoints). Raises `LlmattrError` for a score that is not finite.
    """
    outers = [outer for _, outer in parts if outer is not None]
    factor = np.mean(outers, axis=0) if outers else None
    for blocks in zip(*(blocks for blocks, _ in parts), strict=True):
        rows, scores = blocks[0][0], np.sum([scores for _, scores in blocks], axis=0)
        if not np.isfinite(scores).all():
            target, place = np.argwhere(~np.isfinite(scores))[0]
            raise LlmattrError(
                f"the score of training row {rows[place]} for query {target} is not finite: load the model in float32, or "
                "leave the row or the query out"
            )
        yield rows, scores if factor is None else scores * factor[rows]


def gathered(blocks: Iterable[Block]) -> list[Block]:
    """All blocks as one, by row number."""
    rows, scores = (np.concatenate(part, axis=-1) for part in zip(*blocks, strict=True))
    order = np.argsort(rows)
    return [(rows[order], scores[:, order])]


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
