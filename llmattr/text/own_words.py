"""The words that a sentence adds to what it answers, and how many of them one source has."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.progress import heed
from llmattr.text.names import COUNTED, stopwords
from llmattr.text.numbers import Number, numbers
from llmattr.text.split.languages import language_of
from llmattr.text.units import fold
from llmattr.text.words import WORD, Words, read

_NOTHING = read([])


class OwnWord(NamedTuple):
    """A word or number of a text, and where it stands."""

    start: int
    end: int
    text: str
    number: Number | None = None

    def stands_in(self, words: Words) -> bool:
        """Whether these words have it, in any form."""
        return words.have_number(self.number) if self.number else words.have_name(self.text, _NOTHING)


def own_words(sentence: str, told: str = "", language: str | None = None) -> list[OwnWord]:
    """Words with a meaning and numbers of a sentence that were not told before, as in the question; all where none are new.

    Of scripts without spaces there are numbers and words in katakana alone. The mark of a citation, [1], and the number of an
    item are no words. The sentence's language is found out where it is not given.

    >>> [word.text for word in own_words("The tower was built in 1889 by Eiffel.", "Who built the tower?")]
    ['1889', 'Eiffel']
    """
    language = language or language_of(sentence)
    return new_words(sentence, told, language) or sorted(_words(sentence, language))


def new_words(sentence: str, told: str, language: str) -> list[OwnWord]:
    """Words with a meaning and numbers of a sentence that were not told before."""
    known = read([told], language)
    return [word for word in sorted(_words(sentence, language)) if not word.stands_in(known)]


class Found(NamedTuple):
    """Which sources have which words: `has` [w, n]. `weights` [w]: rare words count more, `log(1 + n / (n_w + 1/2))`."""

    has: Bool[np.ndarray, "w n"]
    weights: Float[np.ndarray, " w"]

    def of(self, words: Bool[np.ndarray, " w"] | slice = slice(None)) -> Float[np.ndarray, " n"]:
        """The weight of these words that each source has."""
        return self.weights[words] @ self.has[words]


def find(words: Sequence[OwnWord], texts: Sequence[str]) -> Found:
    """The words in the texts, in any form."""
    return _find(tuple(words), tuple(texts))


@lru_cache(maxsize=8)  # a sentence is held against the same documents more than once
def _find(words: tuple[OwnWord, ...], texts: tuple[str, ...]) -> Found:
    sources = _each(texts)
    has = np.array([_stands(word, sources) for word in words], dtype=bool).reshape(len(words), len(texts))
    return Found(has, np.log1p(len(texts) / (has.sum(axis=1) + 0.5)))


def _stands(word: OwnWord, sources: Sequence[Words]) -> list[bool]:
    heed()
    return [word.stands_in(source) for source in sources]


def stated(words: Sequence[OwnWord], texts: Sequence[str]) -> Float[np.ndarray, " n"]:
    """The share of the words that each text has; nan where there are no words to compare.

    `sum_w weight(w) [w in i] / sum_w weight(w)`.

    >>> stated(own_words("Eiffel built it in 1889."), ["It was built in 1889.", "Eiffel built bridges."]).round(2).tolist()
    [0.63, 0.63]
    >>> stated(own_words("It opens."), ["It was opened.", "It is open."]).tolist()  # a form of the same word
    [1.0, 1.0]
    """
    found = find(words, texts)
    whole = found.weights.sum()
    return found.of() / whole if whole else np.full(len(texts), np.nan)


@lru_cache(maxsize=8)
def _each(texts: tuple[str, ...]) -> tuple[Words, ...]:
    return tuple(read([text]) for text in texts)


def _words(sentence: str, language: str) -> Iterator[OwnWord]:
    taken = {place for mark in COUNTED.finditer(sentence) for place in range(*mark.span())}
    for number in [one for one in numbers(sentence, language) if one.start not in taken]:
        taken.update(range(number.start, number.end))
        yield OwnWord(number.start, number.end, sentence[number.start : number.end], number)
    for word in WORD.finditer(sentence):
        if word.start() not in taken and fold(word[0]) not in stopwords(language):
            yield OwnWord(*word.span(), word[0])
