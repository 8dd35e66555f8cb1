"""Whether a document that has a sentence's words tells the contrary: something denied, or the two sides of a verb exchanged."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from llmattr.context.standing import Support
from llmattr.core.sources import Sources
from llmattr.text.negations import denied
from llmattr.text.own_words import own_words, stated
from llmattr.text.turned import turned

MOST = 0.4  # of a sentence's words: what a passage has that says the same, or the contrary
BESIDE = 0.85  # of what the best passage has: one like it may say the same where that says the contrary


class Contrary(NamedTuple):
    """What tells the contrary, and the characters of the sentence that it is told of."""

    because: str
    start: int
    end: int


def beside(parts: Sources, sentence: str, start: int, support: Support, language: str) -> Support:
    """What a document does for a sentence that begins at `start` of the answer: one that says the contrary contradicts it."""
    if not support.holds or language != "en":  # other languages deny and turn in other ways
        return support
    assert parts.groups is not None  # sources cut from documents have them
    shares = stated(own_words(sentence, language=language), parts.texts)
    best = np.max(shares, where=parts.groups == support.document, initial=0.0)  # 0 where no words can be compared
    near = (parts.groups == support.document) & (shares >= max(MOST, BESIDE * float(best)))
    found = contrary(sentence, [parts.texts[i] for i in np.flatnonzero(near).tolist()])
    if found is None:
        return support
    told = (start + found.start, start + found.end)
    return replace(support, verdict="contradicted", because=found.because, contrary=told)


def contrary(sentence: str, passages: Sequence[str]) -> Contrary | None:
    """Why every one of these English passages says the contrary; None where one does not, or none is sure.

    >>> contrary("It did not open in 1914.", ["It opened in 1914."])
    Contrary(because='a negation', start=11, end=15)
    """
    found = [_of(sentence, passage) for passage in passages]
    return None if None in found or not found else found[0]


def _of(sentence: str, passage: str) -> Contrary | None:
    if (word := denied(sentence, passage)) is not None:
        return Contrary("a negation", word.start, word.end)
    if (verb := turned(sentence, passage)) is not None:
        return Contrary("the order of words", verb.start, verb.end)
    return None
