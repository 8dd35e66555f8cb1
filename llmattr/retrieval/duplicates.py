"""Texts that are nearly the same."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from math import ceil

import numpy as np
from jaxtyping import Int

from llmattr.core.progress import progress
from llmattr.retrieval.bm25 import terms

SHINGLE = 3  # words in a row
ALIKE = 0.8  # of the shingles of both that they share, at least
ROUNDING = 1e-9  # of a share of some shingles
WORD = 32  # bits of a word's number

Shingles = frozenset[int]


def near_duplicates(texts: Sequence[str]) -> Int[np.ndarray, " n"]:
    """The number of each text's group: two texts are in one where `|A and B| / |A or B|` of their shingles is 0.8 or more.

    Shingles are three words in a row, without case and punctuation (resemblance: Broder 1997); what is alike to one text of a
    group is of the group. Every such pair is found, though few are compared (`_candidates`).

    >>> near_duplicates(["The toll is blue.", "the toll is blue", "The toll is red."]).tolist()
    [0, 0, 1]
    """
    words: dict[str, int] = defaultdict(count(1).__next__)
    same: dict[Shingles, int] = {}
    numbers = [same.setdefault(_shingles(text, words), len(same)) for text in texts]
    sets, group = list(same), list(range(len(same)))

    def first(i: int) -> int:
        while group[i] != i:
            group[i] = i = group[group[i]]
        return i

    for i, j in _candidates(sets):
        if first(i) != first(j) and _resemble(sets[i], sets[j]):
            group[max(first(i), first(j))] = min(first(i), first(j))
    return np.unique([first(i) for i in numbers], return_inverse=True)[1]


def resemblance(texts: Sequence[str]) -> Callable[[int, int], bool]:
    """Whether two of the texts, by their numbers, are nearly the same themselves: in a group of a chain of texts few are."""
    words: dict[str, int] = defaultdict(count(1).__next__)

    @cache
    def shingles(i: int) -> Shingles:
        return _shingles(texts[i], words)

    return lambda i, j: _resemble(shingles(i), shingles(j))


def _resemble(one: Shingles, other: Shingles) -> bool:
    return len(one & other) >= ALIKE * len(one | other)


def _candidates(sets: Sequence[Shingles]) -> Iterator[tuple[int, int]]:
    """All pairs that are alike, and few others: of A's shingles in one order, the rarest first, one is B's, of the first
    `|A| - ceil(0.8 |A|) + 1` of each, and neither has less than 0.8 of the other's (Bayardo, Ma, Srikant 2007).
    """
    often = Counter(shingle for one in sets for shingle in one)
    having: dict[int, list[int]] = defaultdict(list)
    for i in progress(sorted(range(len(sets)), key=lambda i: len(sets[i])), "looking for near-duplicates", "texts"):
        least = ceil(ALIKE * len(sets[i]) - ROUNDING)
        rarest = sorted(sets[i], key=lambda shingle: (often[shingle], shingle))[: len(sets[i]) - least + 1]
        near = {j for shingle in rarest for j in having[shingle]}
        yield from ((i, j) for j in sorted(near) if len(sets[j]) >= least)
        for shingle in rarest:
            having[shingle].append(i)


def _shingles(text: str, words: dict[str, int]) -> Shingles:
    """Each as one number, of the numbers of its words; a short text is a shingle of its own."""
    said = [words[word] for word in terms(text)]
    return frozenset(_joined(said[start : start + SHINGLE]) for start in range(max(1, len(said) - SHINGLE + 1)))


def _joined(words: Iterable[int]) -> int:
    number = 0
    for word in words:
        number = number << WORD | word
    return number
