"""F1 of what a splitter offers against marked texts, its interval, and whether two splitters differ.

Everything is counted in chunks of three marked units in a row, since an error touches the unit behind it, too; chunks are
what intervals and comparisons draw. `Counts` [c, 3] are what is right, offered and marked in each of c chunks.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from eval.text.marks import Marked, Span

Counts = Int[np.ndarray, "c 3"]

CHUNK = 3  # units
DRAWS = 2_000


def boundaries(marked: Marked, found: Collection[Span]) -> Counts:
    """Of the ends of units. An end of what cannot be quoted is neither asked for nor wrong.

    >>> text = Marked("# A\\nB. C.", [(4, 6), (7, 9)], [(0, 3)])
    >>> boundaries(text, [(0, 3), (4, 9)]).tolist()  # one of two ends
    [[1, 1, 2]]
    """
    closed = {end for _, end in marked.closed}
    ends = {end for _, end in found} - closed
    true = {end for _, end in marked.units}
    return _counted(marked, ((end, end in true) for end in ends))


def units(marked: Marked, found: Collection[Span]) -> Counts:
    """Of whole units, from their first character to their last: what is offered that cannot be quoted is wrong.

    >>> text = Marked("# A\\nB. C.", [(4, 6), (7, 9)], [(0, 3)])
    >>> units(text, [(0, 3), (4, 6), (7, 9)]).tolist()
    [[2, 3, 2]]
    """
    true = set(marked.units)
    return _counted(marked, ((span[1], span in true) for span in set(found)))


def _counted(marked: Marked, offered: Iterable[tuple[int, bool]]) -> Counts:
    """`offered`: where each ends, and whether it is right; it counts in the chunk of the unit that it ends in or before."""
    ends = np.array([end for _, end in marked.units])
    counts = np.zeros((-(-len(ends) // CHUNK), 3), dtype=int)
    np.add.at(counts[:, 2], np.arange(len(ends)) // CHUNK, 1)
    for end, is_right in offered:
        unit = min(int(np.searchsorted(ends, end)), len(ends) - 1)
        counts[unit // CHUNK, :2] += is_right, 1
    return counts


def joined(texts: Iterable[Counts]) -> Counts:
    """Those of several texts as one."""
    return np.concatenate(list(texts))


def f1(totals: Int[np.ndarray, "... 3"]) -> Float[np.ndarray, "..."]:
    """`2 right / (offered + marked)`.

    >>> float(f1(np.array([3, 4, 6])))
    0.6
    """
    return 2 * totals[..., 0] / (totals[..., 1] + totals[..., 2])


def mean_f1(kinds: Sequence[Counts]) -> float:
    """The mean over kinds of text, each kind's F1 over all of its chunks."""
    return float(np.mean([f1(counts.sum(axis=0)) for counts in kinds]))


def interval(kinds: Sequence[Counts], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of `mean_f1` over chunks drawn again within each kind (Efron 1979)."""
    rng = np.random.default_rng(seed)
    drawn = [counts[rng.integers(len(counts), size=(DRAWS, len(counts)))].sum(axis=1) for counts in kinds]
    low, high = np.quantile(np.mean([f1(totals) for totals in drawn], axis=0), [0.025, 0.975])
    return float(low), float(high)


def p_value(one: Sequence[Counts], other: Sequence[Counts], seed: int = 0) -> float:
    """The chance that two splitters alike differ as much in `mean_f1`, by swapping their chunks at random (Yeh 2000).

    `(1 + times as large) / (1 + draws)`; it is two-sided.
    """
    rng = np.random.default_rng(seed)
    differences = np.zeros(DRAWS)
    for mine, theirs in zip(one, other, strict=True):
        swap = rng.integers(2, size=(DRAWS, len(mine), 1), dtype=bool)
        swapped = [np.where(swap, a, b).sum(axis=1) for a, b in ((mine, theirs), (theirs, mine))]
        differences += (f1(swapped[0]) - f1(swapped[1])) / len(one)
    as_large = np.abs(differences) >= abs(mean_f1(one) - mean_f1(other)) - 1e-12
    return float((1 + as_large.sum()) / (1 + DRAWS))
