"""Names and numbers of a sentence that the documents have, but not with the rest of what it says."""

from collections.abc import Sequence

import numpy as np

from llmattr.text.names import Name, missing
from llmattr.text.own_words import find, own_words

NEAR = 0.4  # of what the passage has of a sentence's other words that has most of them


def apart(sentence: str, told: str, passages: Sequence[str]) -> list[Name]:
    """The names that are new beside what was `told` (the question), and that no passage with much of the rest has.

    Of the words of question and sentence but the name's own: `max_{i has the name} share_i < NEAR max_i share_i`. A name that
    stands in no passage is missing and not apart.

    >>> passages = ["The bridge was built by Karl Lund.", "The tunnel was dug by Ana Petrov."]
    >>> [name.start for name in apart("Ana Petrov built the bridge.", "Who built it?", passages)]
    [0]
    """
    before = f"{told}\n"
    words = own_words(before + sentence)
    found, names = find(words, passages), []
    for name in missing(sentence, [told]):
        start, end = len(before) + name.start, len(before) + name.end
        own = np.array([word.start < end and word.end > start for word in words])
        has = found.has[own].all(axis=0) if own.any() else np.zeros(len(passages), dtype=bool)
        rest = found.of(~own)
        if has.any() and rest[has].max() < NEAR * rest.max():
            names.append(name)
    return names
