"""A suffix array: the places of a long sequence of words in the order of what follows, where any span is found by halving."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

SORTABLE = ">u4"  # whose bytes have the order of the numbers


def suffix_order(words: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The places 0 .. n - 1 in the order of the words from there on; an end comes before all words.

    Sorted by 1, 2, 4, 8 ... words (Manber and Myers 1993, SIAM J. Comput. 22, 935), and again only where so many do not tell
    them apart (Larsson and Sadakane 2007, Theor. Comput. Sci. 387, 258): O(n log n) sorts of pairs of ranks.

    >>> suffix_order(np.array([2, 1, 2, 1])).tolist()
    [3, 1, 2, 0]
    """
    n, length = len(words), 1
    order = np.argsort(words, kind="stable")
    first = _changes(words[order])
    rank = np.zeros(n + 1, dtype=np.int64)  # the last is that of the end
    while True:
        starts = np.flatnonzero(first)
        sizes = np.diff(starts, append=n)
        rank[order] = np.repeat(starts, sizes) + 1
        tied = np.flatnonzero(np.repeat(sizes > 1, sizes))
        if not len(tied):
            return order
        places = order[tied]
        pairs = rank[places] << 32 | rank[np.minimum(places + length, n)]
        within = np.argsort(pairs, kind="stable")
        order[tied], first[tied] = places[within], _changes(pairs[within])
        length *= 2


def _changes(ordered: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which numbers differ from the one before."""
    return np.concatenate([np.ones(min(1, len(ordered)), dtype=bool), ordered[1:] != ordered[:-1]])


@dataclass(frozen=True, eq=False)
class Suffixes:
    """Words [n], numbers from 0 on, and their `suffix_order` [n], each in memory or on disk."""

    words: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]

    def places(self, span: Int[np.ndarray, " k"]) -> Int[np.ndarray, " c"]:
        """Where these words stand, in the order of what follows; O(k log n)."""
        words, order, length = self.words, self.order, len(span)
        wanted, following = span.astype(SORTABLE).tobytes(), lambda at: words[at : at + length].astype(SORTABLE).tobytes()
        return order[bisect_left(order, wanted, key=following) : bisect_right(order, wanted, key=following)]

    def reach(self, span: Int[np.ndarray, " k"], places: Int[np.ndarray, " c"], known: int) -> Int[np.ndarray, " c"]:
        """How many words from each place on are the span's, `known` at least; the last of all words must be none of it."""
        lengths, going = np.full(len(places), known), np.arange(len(places))
        for length in range(known, len(span)):
            going = going[self.words[places[going] + length] == span[length]]
            if not len(going):
                break
            lengths[going] = length + 1
        return lengths
