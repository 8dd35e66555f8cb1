"""Whether texts that have a sentence's words say the contrary: something denied, an opposite, the sides of a verb exchanged."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from llmattr.core.evidence import Contrary
from llmattr.text.negations import denied
from llmattr.text.opposites import opposite
from llmattr.text.own_words import own_words, stated
from llmattr.text.turned import turned

MOST = 0.4  # of a sentence's words: what a passage has that says the same, or the contrary
BESIDE = 0.85  # of what the best passage has: one like it may say the same where that says the contrary


def contrary(sentence: str, passages: Sequence[str], among: Bool[np.ndarray, " n"], language: str) -> Contrary | None:
    """Which of the passages `among` all says the contrary of an English sentence, and of which of its characters.

    Of those that have its words every one must say so; None where one does not, and in other languages, which deny and turn in
    other ways.

    >>> contrary("It did not open in 1914.", ["It opened in 1914."], np.array([True]), "en")
    Contrary(source=0, because='a negation', start=11, end=15)
    """
    if language != "en":
        return None
    shares = stated(own_words(sentence, language=language), passages)
    best = float(np.max(shares, where=among, initial=0.0))
    near = np.flatnonzero(among & (shares >= max(MOST, BESIDE * best))).tolist()  # none where no words can be compared: nan
    found = [_of(sentence, passages[i], i) for i in sorted(near, key=lambda i: -shares[i])]
    return None if None in found or not found else found[0]


def _of(sentence: str, passage: str, place: int) -> Contrary | None:
    if (word := denied(sentence, passage)) is not None:
        return Contrary(place, "a negation", word.start, word.end)
    if (word := opposite(sentence, passage)) is not None:
        return Contrary(place, "an opposite", word.start, word.end)
    if (verb := turned(sentence, passage)) is not None:
        return Contrary(place, "the order of words", verb.start, verb.end)
    return None
