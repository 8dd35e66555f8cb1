"""The words and numbers of sources, in which names and numbers are looked up whatever their form."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from llmattr.core.progress import heed
from llmattr.text.numbers import Number, numbers
from llmattr.text.units import MONTHS, fold
from llmattr.text.verbs import bases

_LETTER = r"[[\p{L}\p{M}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}ー]]"
WORD = regex.compile(rf"(?:\p{{L}}\.)+(?!\p{{L}})|[\p{{Katakana}}ー]+|{_LETTER}(?:{_LETTER}|\p{{Nd}})*", regex.V1)
_STEM = 5  # letters that two words with other endings share at least
_LONGEST = 6  # words that initials stand for
_SMALL_WORDS = "of the and for at in de la le du des di der den die von van y et und"
_SMALL = frozenset(_SMALL_WORDS.split())
_TITLES = {"mr", "mrs", "ms", "miss", "dr", "prof", "professor", "sir", "madam"}  # with and without them a name is the same
_ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
    sixteenth seventeenth eighteenth nineteenth twentieth"""
_ROMAN = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"]
_RANKS = {word: i for i, word in enumerate(_ORDINALS.split(), 1)} | {
    tens + ones: 10 * tens.count("X") + i for tens in ("", "X") for i, ones in enumerate(_ROMAN) if tens + ones
}
_DATE = regex.compile(r"\b\d{4}-(\d\d)-\d\d\b|\b(\d{1,2})[./](\d{1,2})[./]\d{4}\b")  # in figures
_ALL, _BARE = "all", "bare"  # numbers as they are written, and those without a unit


@dataclass(frozen=True)
class Words:
    """Which sources hold a form of a word (`_forms`), and the numbers of all, sorted, of each kind of unit."""

    places: Mapping[str, frozenset[int]]
    values: Mapping[str, Sequence[float]]

    def have_name(self, name: str, told: "Words") -> bool:
        """Whether one source has all the words of a name, but those that are `told`; initials stand for their words."""
        words = [token for token in WORD.findall(name) if fold(token) not in _SMALL]
        tokens = [token for token in words if _plain(token) not in _TITLES] or words
        forms = [list(_asked(tokens, i)) for i in range(len(tokens))]
        left = [self._holding(one) for one in forms if not told._holding(one)]
        return not left or bool(frozenset.intersection(*left))

    def have_number(self, number: Number) -> bool:
        """Whether a source has a number that this one may stand for, in the same unit, in one of its kind, or in none."""
        if number.unit is None:
            return self._between(_ALL, number.ranges)
        same = [(number.unit.to_base(low), number.unit.to_base(high)) for low, high in number.ranges]
        return self._between(_BARE, number.ranges) or self._between(number.unit.kind, same)

    def _holding(self, forms: Iterable[str]) -> frozenset[int]:
        return frozenset().union(*(self.places.get(form, ()) for form in forms))

    def _between(self, kind: str, ranges: Iterable[tuple[float, float]]) -> bool:
        values = self.values.get(kind, ())
        return any((i := bisect_left(values, low)) < len(values) and values[i] <= high for low, high in ranges)


def read(sources: Sequence[str], language: str = "en") -> Words:
    """The words of sources; number words are read as English and in this language."""
    places: dict[str, set[int]] = defaultdict(set)
    values: dict[str, list[float]] = defaultdict(list)
    for i, source in enumerate(sources):
        heed()
        for form in _forms(source):
            places[form].add(i)
        for number in {one for each in {language, "en"} for one in numbers(source, each)}:
            values[_ALL] += number.values
            values[number.unit.kind if number.unit else _BARE] += number.base
    return Words({form: frozenset(of) for form, of in places.items()}, {kind: sorted(of) for kind, of in values.items()})


def _forms(source: str) -> set[str]:
    """All that may be asked for: words, their stems, months, initials of words and words of initials."""
    tokens = WORD.findall(source)
    found = {form for token in set(tokens) for form in _told(token)}
    found |= {f"#{int(month)}" for date in _DATE.findall(source) for month in date if month}
    run: list[str] = []
    for token in tokens:
        heed()
        if token[0].isupper():
            run = [*run[1 - _LONGEST :], token]
            found.update(f"+{_initials(run[i:])}" for i in range(len(run) - 1))
        elif fold(token) not in _SMALL:
            run = []
    return found


@lru_cache(100_000)
def _told(token: str) -> tuple[str, ...]:
    """What a source's word answers to: itself, its month, the name with its initial, the words of its letters."""
    word = _plain(token)
    forms = [*_stems(token), *_month(word), *_rank(token)]
    if len(word) > 1 and token.isupper():
        forms.append(f"={word}")
    if token[0].isupper():
        forms.append(f"^{word[:1]}" if len(word) > 1 else token.casefold())
    return tuple(forms)


def _asked(tokens: Sequence[str], i: int) -> Iterator[str]:
    """What is asked for a word of a name: also its initial, any name with this one, letters for words and words for letters."""
    token, word = tokens[i], _plain(tokens[i])
    yield from (*_stems(token), *_month(word), *_rank(token))
    if len(word) == 1:
        yield f"^{word}"
    elif token.isupper():
        yield f"+{word}"
    if len(tokens) > 1 and len(word) > 1:
        yield f"{word[:1]}."
    for start in range(max(0, i - _LONGEST + 1), i + 1):
        for end in range(max(i + 1, start + 2), min(len(tokens), start + _LONGEST) + 1):
            yield f"={_initials(tokens[start:end])}"


def _rank(token: str) -> list[str]:
    """The number of an ordinal or a Roman numeral: the Second World War is World War II."""
    rank = _RANKS.get(token if token.isupper() else token.casefold())
    return [f"%{rank}"] if rank else []


def _month(word: str) -> list[str]:
    return [f"#{MONTHS[word]}"] if word in MONTHS else []


def _stems(token: str) -> Iterator[str]:
    word = _plain(token)
    yield word
    if token[0].islower():  # no name
        yield from bases(word)
    yield from (word[:-cut] for cut in (1, 2) if len(word) - cut >= _STEM)
    if len(word) > 3 and word.endswith("s"):
        yield word[:-1]
    if len(word) > 6 and word.endswith("ern"):  # southern
        yield word[:-3]


def _initials(tokens: Sequence[str]) -> str:
    return "".join(fold(token[0]) for token in tokens)


def _plain(token: str) -> str:
    return fold(token.replace(".", ""))
