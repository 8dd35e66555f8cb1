"""Texts that are nearly the same."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from llmattr.retrieval.bm25 import terms

SHINGLE = 3  # words in a row
ALIKE = 0.8  # of the shingles of both that they share, at least


def near_duplicates(texts: Sequence[str]) -> Int[np.ndarray, " n"]:
    """The number of each text's group: two texts are in one where `|A and B| / |A or B|` of their shingles is 0.8 or more.

    Shingles are three words in a row, without case and punctuation (resemblance: Broder 1997); what is alike to one text of a
    group is of the group. Every pair is compared: for hundreds of texts.

    >>> near_duplicates(["The toll is blue.", "the toll is blue", "The toll is red."]).tolist()
    [0, 0, 1]
    """
    sets, group = [_shingles(text) for text in texts], np.arange(len(texts))
    for i, one in enumerate(sets):
        for j in range(i):
            if group[i] != group[j] and len(one & sets[j]) >= ALIKE * len(one | sets[j]):
                group[group == group[i]] = group[j]
    return np.unique(group, return_inverse=True)[1]


def _shingles(text: str) -> set[tuple[str, ...]]:
    """A short text is a shingle of its own."""
    words = terms(text)
    return {tuple(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))}
