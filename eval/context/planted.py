"""Claims that people found supported, made wrong with the same words: a negation put in, two names exchanged."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from eval.harness.record import Figure
from llmattr.context import check as checking
from llmattr.context.checked import Check
from llmattr.core.progress import progress
from llmattr.text.names import names
from llmattr.text.own_words import own_words

if TYPE_CHECKING:
    from eval.context.checks import Claim

_AUXILIARY = re.compile(
    r"\b(?:was|were|is|are|has been|have been|has|have|had|can|could|will|would|may|must|should)\b(?! not|n['’]t)"
)
_AROUND = re.compile(r"(?:(?!\band\b|\bor\b)[^,.;:()\n]){3,40}")  # a name: a verb, and what goes with it
_DENIED = re.compile(r"\b(?:not?|never|neither|nor|without)\b|n['’]t\b", re.IGNORECASE)
NOTES = (
    "Claims that people found supported, of which words, names and numbers hold every sentence; changed: those in which it can "
    "be done. not: behind the first auxiliary verb. exchanged: the first two names around a word; some stay true ('A met B').",
    "held by words: by words, names and numbers alone; held: where it is also seen what is denied and what is turned.",
)
COLUMNS = ("file", "claims are", "claims", "held by words", "held")


def as_it_is(text: str) -> str | None:
    """Nothing is planted: what is lost here is lost wrongly."""
    return text


def denied(text: str) -> str | None:
    """With a negation behind its first auxiliary verb.

    >>> denied("The tower was built in 1889.")
    'The tower was not built in 1889.'
    """
    place = _AUXILIARY.search(text)
    return None if place is None or _DENIED.search(text) else f"{text[: place.end()]} not{text[place.end() :]}"


def exchanged(text: str) -> str | None:
    """With the first two names that stand around a word in each other's place.

    >>> exchanged("In 1990 Ms. Keller succeeded Paolo Rossi.")
    'In 1990 Paolo Rossi succeeded Ms. Keller.'
    """
    some = [one for one in names(text, "en") if one.kind == "name"]
    for (a, b, _), (c, d, _) in pairwise(some):
        if text[a:b] != text[c:d] and _AROUND.fullmatch(text, b, c) and own_words(text[b:c], language="en"):
            return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
    return None


PLANTED: dict[str, Callable[[str], str | None]] = {"as they are": as_it_is, "not": denied, "exchanged": exchanged}


def planted(every: Mapping[str, Sequence["Claim"]]) -> list[Figure]:
    """For each file and each way to make a claim wrong, which share `check --quick` holds."""
    return [row for file, some in every.items() for row in _rows(file, [one for one in some if one.supported])]


def _rows(file: str, some: Sequence["Claim"]) -> Iterator[Figure]:
    held = [one for one in progress(some, f"planted, {file}", "claims") if _holds(_checked(one, one.text), by_words=True)]
    for name, plant in PLANTED.items():
        wrong = [(one, text) for one in held if (text := plant(one.text)) is not None]
        found = [_checked(one, text) for one, text in wrong]
        shares = {
            told: sum(_holds(one, by_words) for one in found) / len(found) if found else float("nan")
            for told, by_words in (("held by words", True), ("held", False))
        }
        yield {"file": file, "claims are": name, "claims": len(found), **shares}


def _checked(one: "Claim", text: str) -> Check:
    return checking.check(None, text, one.references, one.question, shape="markdown")


def _holds(found: Check, by_words: bool) -> bool:
    """Whether a reference supports each sentence; `by_words`: were nothing else looked at."""
    return all(any(one.holds or (by_words and one.contrary) for one in sentence.supports) for sentence in found.sentences)
