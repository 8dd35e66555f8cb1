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

    `lengths` are those of all rows, |g| or |g W|, where they are known. `outer` is a factor of each row's scores. `added`: of
    several checkpoints these are summed as they are (`combined`).
    """

    queries: Float[np.ndarray, "t d"]
    cosine: bool = False
    root: Float[np.ndarray, "d d"] | None = None
    lengths: Float[np.ndarray, " n"] | None = None
    outer: Float[np.ndarray, " n"] | None = None
    added: bool = False

    def single(self) -> "Weighed":
        """The same in float32, which rows are multiplied in."""
        root = None if self.root is None else self.root.astype(np.float32)
        return replace(self, queries=np.ascontiguousarray(self.queries, dtype=np.float32), root=root)

    def products(
        self, stored: Float[np.ndarray, "b d"], scales: Float[np.ndarray, " b"], rows: Int[np.ndarray, " b"]
    ) -> Float[np.ndarray, "b t"]:
        """Scores of these rows, which are `scales * stored`, without `outer`."""
        found = stored @ self.queries.T
        if not self.cosine:
            return found * scales[:, None]
        if self.lengths is not None:
            return found * (scales * inverse(self.lengths[rows]))[:, None]
        return found * inverse(lengths(stored, self.root))[:, None]


def lengths(rows: Float[np.ndarray, "b d"], root: Float[np.ndarray, "d d"] | None) -> Float[np.ndarray, " b"]:
    """|g| of each row, or `|g W|` of a root W."""
    sides = rows if root is None else rows @ root
    return np.sqrt(np.einsum("bd,bd->b", sides, sides))


def inverse(lengths: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 / length, 0 for 0."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def chosen_products(index: GradientIndex, weighed: Weighed, rows: Int[np.ndarray, " b"]) -> Iterator[Block]:
    """Products with these rows of an index alone."""
    single = weighed.single()
    found = single.products(index.vectors[rows].astype(np.float32), index.scales[rows], rows).T.astype(np.float64)
    yield rows, found if weighed.outer is None else found * weighed.outer[rows]


@dataclass(frozen=True, eq=False)
class Products:
    """Products with every row of an index, which is read from first to last each time that they are gone through."""

    index: GradientIndex
    weighed: Weighed
    block: int = 2**14

    def __iter__(self) -> Iterator[Block]:
        """Block by block."""
        index, weighed = self.index, self.weighed.single()
        tile = np.empty((TILE, index.run["dim"]), dtype=np.float32)
        for start in range(0, len(index), self.block):
            rows = np.arange(start, min(start + self.block, len(index)))
            stored = index.mapped(slice(start, start + len(rows)))
            out = np.empty((len(weighed.queries), len(rows)), dtype=np.float64)
            for low in range(0, len(rows), TILE):
                part = slice(low, min(low + TILE, len(rows)))
                held = tile[: part.stop - part.start]
                np.copyto(held, stored[part])
                out[:, part] = weighed.products(held, index.scales[rows[part]], rows[part]).T
            yield rows, out if weighed.outer is None else out * weighed.outer[rows]


@dataclass(frozen=True, eq=False)
class Scores:
    """One checkpoint's scores of rows, block by block; `added`: beside other checkpoints' they count as they are."""

    blocks: Iterable[Block]
    added: bool = False

    def lengths(self) -> Float[np.ndarray, " t"]:
        """Each query's `|s|` over all of the rows."""
        return np.sqrt(sum(np.square(scores).sum(axis=1) for _, scores in self.blocks))


def combined(parts: Sequence[Scores]) -> Iterator[Block]:
    """The scores of one checkpoint, or `sum over c of s_c / |s_c|` of several, whose blocks hold the same rows.

    Each query's scores have the same length at every checkpoint, for products of gradients are largest where a model knows
    least. Raises `LlmattrError` for a score that is not finite.
    """
    scales = [inverse(part.lengths())[:, None] if len(parts) > 1 and not part.added else 1.0 for part in parts]
    for blocks in zip(*(part.blocks for part in parts), strict=True):
        rows, scores = blocks[0]
        if len(parts) > 1:
            scores = np.sum([scores * scale for (_, scores), scale in zip(blocks, scales, strict=True)], axis=0)
        if not np.isfinite(scores).all():
            target, place = np.argwhere(~np.isfinite(scores))[0]
            raise LlmattrError(
                f"the score of training row {rows[place]} for query {target} is not finite: load the model in float32, or "
                "leave the row or the query out"
            )
        yield rows, scores


def gathered(blocks: Iterable[Block]) -> list[Block]:
    """All blocks as one, by row number."""
    rows, scores = (np.concatenate(part, axis=-1) for part in zip(*blocks, strict=True))
    order = np.argsort(rows)
    return [(rows[order], scores[:, order])]


class Top:
    """A running choice of the k highest and k lowest scores of each query, over blocks of rows, in memory of t x 2k.

    `sums` and `squares` are those of the scores of all `rows` that were looked at.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self.rows = 0
        self.sums, self.squares = np.zeros(queries), np.zeros(queries)
        self.kept: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, dtype=np.int64))] * queries
        self.highest, self.lowest = np.full((queries, 1), -np.inf), np.full((queries, 1), np.inf)  # what a score must reach

    def add(self, rows: Int[np.ndarray, " b"], scores: Float[np.ndarray, "t b"]) -> None:
        """Look at more rows."""
        self.rows += len(rows)
        self.sums += scores.sum(axis=1)
        self.squares += np.einsum("tb,tb->t", scores, scores)
        near = (scores >= self.highest) | (scores <= self.lowest)  # all others are neither, whatever is still to come
        for t, (values, numbers) in enumerate(self.kept):
            values, numbers = np.append(values, scores[t, near[t]]), np.append(numbers, rows[near[t]])
            values, numbers = self.kept[t] = _both_ends(values, numbers, self.k)
            if len(values) == 2 * self.k:
                self.highest[t], self.lowest[t] = values[self.k - 1 : self.k + 1]

    @staticmethod
    def joined(parts: Sequence["Top"]) -> "Top":
        """The choices of several groups of queries, one after the other, among the same rows."""
        one = Top(sum(len(part.kept) for part in parts), parts[0].k)
        one.rows, one.kept = parts[0].rows, [kept for part in parts for kept in part.kept]
        one.sums, one.squares = (np.concatenate(sums) for sums in zip(*((p.sums, p.squares) for p in parts), strict=True))
        one.highest, one.lowest = (np.concatenate(ends) for ends in zip(*((p.highest, p.lowest) for p in parts), strict=True))
        return one

    def over(self, blocks: Iterable[Block]) -> "Top":
        """The same after a look at all blocks."""
        for rows, scores in blocks:
            self.add(rows, scores)
        return self

    def result(self) -> tuple[Float[np.ndarray, "t k"], Int[np.ndarray, "t k"]]:
        """Scores, highest first, and the rows that have them; equal scores in the order of their rows."""
        ordered = [_sorted(values, numbers) for values, numbers in self.kept]
        return np.stack([values for values, _ in ordered]), np.stack([numbers for _, numbers in ordered])


def _both_ends(values: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    if len(values) < 2 * k:
        return values, rows
    parted = np.partition(values, (k - 1, len(values) - k))
    near = (values <= parted[k - 1]) | (values >= parted[len(values) - k])
    values, rows = _sorted(values[near], rows[near])
    return np.append(values[:k], values[-k:]), np.append(rows[:k], rows[-k:])


def _sorted(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((rows, -values))
    return values[order], rows[order]
