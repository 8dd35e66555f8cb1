"""Names, numbers and dates of a text, and which of them stand in no source."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Literal, NamedTuple

import regex

from llmattr.text.numbers import numbers
from llmattr.text.split.languages import language_of
from llmattr.text.units import CURRENCIES, MONTHS, fold
from llmattr.text.words import Words, read

_VAGUE = frozenset({0, 1, 2, 10, 100, 1e3, 1e6, 1e9, 1e12})  # number words ("one", "first", "thousands") that say too little
_PARTICLES = "of|the|de|del|della|der|den|des|di|do|da|das|dos|du|la|le|les|van|von|zu|zur|y|al|el|bin|ibn"
_TITLES = "Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|Gen|Col|Lt|Sgt|Capt|Gov|Sen|Rev|No"
_CAPITAL = (
    r"(?:(?:\p{Lu}\.){2,}|[\p{Lu}\p{Lt}](?:[\p{L}\p{M}\p{Nd}--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]])*"
    r"|\p{Ll}\p{Lu}[\p{L}\p{M}\p{Nd}]*)"
)
_JOINED = (
    rf"(?:(?<=\b(?:\p{{Lu}}|{_TITLES}))\.\s?|[^\S\n]|\n(?!\s)|[-–'’]|[^\S\n]&[^\S\n]"
    rf"|\s(?:(?:{_PARTICLES})\s|[dl]['’]){{1,2}})"
)
_RUN = regex.compile(rf"(?<![\p{{L}}\p{{M}}]\p{{Nd}}*){_CAPITAL}(?:{_JOINED}{_CAPITAL})*", regex.V1)
_KATAKANA = regex.compile(r"[\p{Katakana}ー]{3,}")
_BESIDE_A_NUMBER = regex.compile(r"\p{Nd}\.?\s(?:de\s)?(\p{L}{3,})\b|\b(\p{L}{3,})\s(?:de\s)?\p{Nd}{4}\b")
_BEGIN = regex.compile(rf"(?:(?<!\b(?:\p{{Lu}}|{_TITLES}))[.!?:;…]['\"’”»)\]]*\s|\n)[\s\p{{P}}\p{{S}}]*$|^[^\p{{L}}\p{{N}}]*$")
_BEHIND = 12  # characters in which a sentence's end is looked for
CITED = regex.compile(  # the mark of a citation: [1], [2-4], [1, p. 3]
    r"[\[【［]\p{Nd}{1,3}(?!\p{Nd})(?:[\s,;:–-]|\p{Nd}++|(?:pp?\.|pages?|S\.|§|sec\.|ch\.|fig\.|lines?)\s?[\p{Nd}.]+)*+[\]】］]"
)
COUNTED = regex.compile(  # also what numbers an item: 1. (2) - 3. **4.** and a digit on a key
    rf"{CITED.pattern}|^[^\S\n]*(?:[-*+•>][^\S\n]+)?[*_]{{0,2}}\(?\p{{Nd}}{{1,2}}[.)][*_]{{0,2}}\s|\p{{Nd}}\uFE0F?\u20E3",
    regex.MULTILINE,
)
_FIRST = regex.compile(r"([\p{L}\p{M}]+)(?:['’]\p{Ll}+)?(?:\W*\s\W*|$)")
_LEADING = frozenset({"every", "each", "another", "both", "either", "neither", "several"})  # which begin no name
_NOUNS_ARE_CAPITAL = frozenset({"de"})
_STOPWORDS = {  # bm25s's
    "en": "EN_PLUS", "de": "GERMAN", "nl": "DUTCH", "fr": "FRENCH", "es": "SPANISH", "pt": "PORTUGUESE", "it": "ITALIAN",
    "ru": "RUSSIAN", "sv": "SWEDISH", "no": "NORWEGIAN", "tr": "TURKISH", "da": "DANISH",
}  # fmt: skip


class Name(NamedTuple):
    """A name or number of a text: where it begins and ends, and which of the two it is; a month is a name."""

    start: int
    end: int
    kind: Literal["number", "name"]


def names(text: str, language: str | None = None) -> list[Name]:
    """In the order of the text; its language is found out where it is not given.

    A capital letter that only begins a sentence makes no name, nor does that of a single German noun. In scripts without
    capitals there are numbers, and words in katakana. Number words are read where text2num knows the language.

    >>> text = "It was Jane Okoro who built 82 km by May 1889."
    >>> [text[name.start : name.end] for name in names(text)]
    ['Jane Okoro', '82', 'May', '1889']
    """
    language = language or language_of(text)
    found = [*_runs(text, language), *_months(text)]
    found += [Name(*place.span(), "name") for place in _KATAKANA.finditer(text)]
    return sorted({*found, *_numbers(text, language)})


def missing(text: str, sources: Sequence[str] | Words, known: str = "", language: str | None = None) -> list[Name]:
    """The names and numbers of a text that stand in none of the sources, nor in what is `known`, such as the question.

    A name is there when one source has all its words: in any case, with or without accents and a plural's ending, with
    initials for names and the other way round. A number is there when a source has one that it may be: in digits or
    words, rounded to its last digit, in another unit, or of that decade or century. `sources` that are asked for more
    than once can be `read` before.

    >>> text = "The U.S. paid $5.6 million for eighty-two kilometers in 1956."
    >>> [text[name.start : name.end] for name in missing(text, ["The United States paid $5,600,000 for 82 km."])]
    ['1956']
    """
    language = language or language_of(text)
    words = sources if isinstance(sources, Words) else read(sources, language)
    told = read([known], language)
    counted = {number[:2]: number for number in numbers(text, language)}

    def stands(name: Name) -> bool:
        if name.kind == "number":
            return any(one.have_number(counted[name[:2]]) for one in (words, told))
        return words.have_name(text[name.start : name.end], told)

    return [name for name in names(text, language) if not stands(name)]


def _numbers(text: str, language: str) -> Iterator[Name]:
    marks = {place for mark in COUNTED.finditer(text) for place in range(*mark.span())}
    for number in numbers(text, language):
        said = text[number.start : number.end]
        in_words = said[0].isalpha()
        if number.start not in marks and not (in_words and number.values[0] in _VAGUE):
            yield Name(number.start, number.end, "number")


def _runs(text: str, language: str) -> Iterator[Name]:
    """Capital words in a row; behind the words without a meaning that begin a sentence."""
    for found in _RUN.finditer(text):
        start, end = found.span()
        begins = bool(_BEGIN.search(text, max(0, start - _BEHIND), start))
        while (first := _FIRST.match(text, start, end)) and fold(first[1]) in stopwords(language) | _LEADING:
            start, begins = first.end(), False
        run = text[start:end]
        alone = run.isalpha() and run[1:] == run[1:].lower()
        if run and run not in CURRENCIES and not (alone and (begins or len(run) == 1 or language in _NOUNS_ARE_CAPITAL)):
            yield Name(start, end, "name")


def _months(text: str) -> Iterator[Name]:
    """Months that a number stands beside, in small letters too."""
    for found in _BESIDE_A_NUMBER.finditer(text):
        group = 1 if found[1] else 2
        if fold(found[group]) in MONTHS:
            yield Name(*found.span(group), "name")


@cache
def stopwords(language: str) -> frozenset[str]:
    """Words of a language that say too little by themselves; none where bm25s has no list."""
    words = _lists().get(f"STOPWORDS_{_STOPWORDS.get(language)}", ())
    return frozenset(map(fold, words)).difference(MONTHS)


@cache
def _lists() -> dict[str, Sequence[str]]:
    """bm25s's lists alone: the package imports SciPy, which takes longer than all else of a check by words."""
    package = find_spec("bm25s")
    assert package is not None  # it is one of our own requirements
    found = PathFinder.find_spec("stopwords", package.submodule_search_locations)
    assert found is not None
    assert found.loader is not None
    lists = module_from_spec(found)
    found.loader.exec_module(lists)
    return vars(lists)
