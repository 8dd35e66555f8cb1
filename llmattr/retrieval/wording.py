"""The words of a text as they are compared where something stands word for word."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import regex

from llmattr.retrieval.bm25 import TERM

_WORD = regex.compile(
    rf"{TERM}|[\p{{S}}--\p{{Sk}}]\p{{M}}*", regex.V1
)  # a backtick and an accent that stands alone are punctuation


class Word(NamedTuple):
    """Where a word stands in a text, and the form that is compared."""

    start: int
    end: int
    form: str


def forms(text: str) -> Iterator[str]:
    """The words of a text: letters and digits of any script, single characters of scripts without spaces, and symbols (emoji).

    Not compared are punctuation, white space, case, and how Unicode composes a letter or lays it out (NFKC): they change with
    the typesetting of the same words.

    >>> list(forms("“The  Tower”, it's 300\\nmètres — 高い塔 🗼!"))
    ['the', 'tower', 'it', 's', '300', 'mètres', '高', 'い', '塔', '🗼']
    """
    return map(_form, _WORD.findall(text))


def words(text: str) -> list[Word]:
    """The same with their places."""
    return [Word(*found.span(), _form(found[0])) for found in _WORD.finditer(text)]


@lru_cache(2**20)
def _form(word: str) -> str:
    return unicodedata.normalize("NFKC", word.casefold()).rstrip("\N{VARIATION SELECTOR-16}")
