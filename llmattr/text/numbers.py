"""The numbers of a text: digits of any script, and words where text2num reads the language."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import regex
from text_to_num import find_numbers

from llmattr.core.progress import heed
from llmattr.text.units import CENTURY, CURRENCIES, DECADE, Unit, fold, scale_at, unit_at

# text2num's; others have digits only.
_LANGUAGES = frozenset({"en", "de", "fr", "es", "it", "pt", "nl", "da"})
_AHEAD = 32  # characters behind a number in which a scale and a unit are looked for
_SHARE = 0.05  # a rounded number is no further from the whole one
_SURELY_ROUND = 10000  # a whole number from here on that ends with zeros is rounded; below it may be a year
_DIGITS = regex.compile(
    r"(?<![\p{Lu}\p{Ll}\p{Nd}])(?:"
    r"\p{Nd}{1,3}(?:(?P<by>[ \u00a0\u202f'’.,٬])\p{Nd}{3}(?:(?P=by)\p{Nd}{3})*)(?:(?!(?P=by))[.,٫]\p{Nd}+)?(?![.,]?\p{Nd})"
    r"|(?<!\p{Nd}[.,])\p{Nd}+[.,٫]\p{Nd}+(?![.,]?\p{Nd})"
    r"|\p{Nd}+)"
)
_WORDS = regex.compile(r"[\p{L}\p{M}]+|\p{Nd}+|[^\p{L}\p{M}\p{Nd}\s]")
_CURRENCY = regex.compile(rf"([$€£¥]|\b(?:{'|'.join(CURRENCIES)}))\s?$")
_OH = regex.compile(r"[\s-]+(?:(?:oh|o)[\s-]+)?", regex.IGNORECASE)


class Number(NamedTuple):
    """A number of a text: where it stands, what it may be, and from where to where the number may be that it stands for."""

    start: int
    end: int
    values: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...]
    unit: Unit | None = None

    @property
    def base(self) -> tuple[float, ...]:
        """The values in the base unit of its kind."""
        return tuple(self.unit.to_base(value) for value in self.values) if self.unit else self.values


def numbers(text: str, language: str = "en") -> list[Number]:
    """In the order of the text.

    >>> [number.values for number in numbers("1,889 of 5.6 million")]
    [(1889.0, 1.889), (5600000.0,)]
    >>> numbers("the 1980s")[0].ranges[-1]
    (1980.0, 1989.0)
    """
    digits = [_of_digits(text, found) for found in _DIGITS.finditer(text)]
    taken = {place for one in digits for place in range(one.start, one.end)}
    words = [one for one in _of_words(text, language) if one.start not in taken]
    return sorted([*digits, *_years(text, words)])


def _of_digits(text: str, found: regex.Match[str]) -> Number:
    return _number(text, found.start(), found.end(), _readings(fold(found[0]), found["by"]))


def _readings(digits: str, by: str | None) -> list[tuple[float, float]]:
    """What these digits may mean, each with what one of its last digit that counts is worth.

    `by` stands between its groups of three, if they may be such.
    """
    *parts, last = regex.split(r"\D", digits)
    whole = "".join(parts) + last
    if not parts:
        return [(float(digits), _step(digits))]
    decimal = float("".join(parts) + "." + last), 10.0 ** -len(last)
    if by is None or fold(by) not in regex.findall(r"\D", digits)[-1]:
        return [decimal]
    return [(float(whole), _zeros(whole)), *([decimal] if len(parts) == 1 and by in ".," else [])]


def _step(digits: str) -> float:
    return _zeros(digits) if float(digits) >= _SURELY_ROUND else 1.0


def _zeros(digits: str) -> float:
    return 10.0 ** (len(digits) - max(1, len(digits.rstrip("0"))))


def _number(text: str, start: int, end: int, readings: Sequence[tuple[float, float]]) -> Number:
    """With the scale and the unit that stand beside it, and all that it may be rounded from."""
    heed()
    ahead = fold(text[end : end + _AHEAD])
    money = _CURRENCY.search(text, max(0, start - 4), start)
    scale, length = scale_at(ahead, bool(money))
    unit, _ = unit_at(fold(money[1]) if money else ahead[length:])
    ranges = [_rounded(value * scale, step * scale) for value, step in readings]
    if CENTURY.match(ahead):
        ranges += [(100 * (value - 1), 100 * value) for value, _ in readings]
    if DECADE.match(ahead):
        ranges += [(value, value + 9) for value, _ in readings if value % 10 == 0]
    return Number(start, min(end + length, len(text)), tuple(value * scale for value, _ in readings), tuple(ranges), unit)


def _rounded(value: float, step: float) -> tuple[float, float]:
    half = min(step / 2, _SHARE * value)
    return value - half, value + half


def _of_words(text: str, language: str) -> Iterator[Number]:
    if language not in _LANGUAGES:
        return
    places = list(_WORDS.finditer(text))
    for one in find_numbers([_Token(place[0].casefold()) for place in places], language, threshold=0):
        start, end = places[one.start].start(), places[one.end - 1].end()
        if end - start > 1:  # "o" is none
            yield _number(text, start, end, [(one.value, _step(f"{one.value:.0f}"))])


def _years(text: str, words: Sequence[Number]) -> Iterator[Number]:
    """The same, and "eighteen eighty-nine" as one."""
    rest = zip_longest(words, words[1:])
    for one, behind in rest:
        if behind and _is_year(one.values[0], behind.values[0]) and _OH.fullmatch(text, one.end, behind.start):
            yield _number(text, one.start, behind.end, [(100 * one.values[0] + behind.values[0], 1.0)])
            next(rest)
        else:
            yield one


def _is_year(hundreds: float, rest: float) -> bool:
    return 10 < hundreds < 100 and 0 < rest < 100


class _Token(str):
    """A word as text2num takes it. What it calls for each is C: Ctrl-C in a function of Python would be a panic of its Rust."""

    text = str.__str__
    not_a_number_part = str.isspace  # which no word is

    def nt_separated(self, previous: "_Token") -> bool:
        return False
