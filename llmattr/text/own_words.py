"""The words that a sentence adds to what it answers, and how many of them one source has."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llmattr.text.names import stopwords
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


def own_words(sentence: str, told: str = "") -> list[OwnWord]:
    """Words with a meaning and numbers of a sentence that were not told before, as in the question.

    All of them where it has none of its own. Of scripts without spaces there are numbers and words in katakana alone.

    >>> [word.text for word in own_words("The tower was built in 1889 by Eiffel.", "Who built the tower?")]
    ['1889', 'Eiffel']
    """
    found = sorted(_words(sentence))
    known = read([told], language_of(sentence))
    return [word for word in found if not word.stands_in(known)] or found


def stated(words: Sequence[OwnWord], sources: Sequence[Words]) -> float:
    """The largest share of the words that one source has, rare ones counting more; nan without words or sources.

    `max_i sum_w weight(w) [w in i] / sum_w weight(w)`, `weight(w) = log(1 + n / (n_w + 1/2))`, n_w of the n sources have w.

    >>> sources = [read([text]) for text in ("It was built in 1889.", "Eiffel built bridges.")]
    >>> round(stated(own_words("Eiffel built it in 1889."), sources), 2)
    0.63
    """
    found = [[word.stands_in(source) for source in sources] for word in words]
    weights = [math.log(1 + len(sources) / (sum(row) + 0.5)) for row in found]
    if not sum(weights):
        return math.nan
    shares = (sum(w for w, row in zip(weights, found, strict=True) if row[i]) for i in range(len(sources)))
    return max(shares) / sum(weights)


def _words(sentence: str) -> Iterator[OwnWord]:
    language = language_of(sentence)
    taken: set[int] = set()
    for number in numbers(sentence, language):
        taken.update(range(number.start, number.end))
        yield OwnWord(number.start, number.end, sentence[number.start : number.end], number)
    for word in WORD.finditer(sentence):
        if word.start() not in taken and fold(word[0]) not in stopwords(language):
            yield OwnWord(*word.span(), word[0])
