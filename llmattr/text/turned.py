"""Whether an English sentence exchanges two sides of a verb: "Rossi succeeded Keller" beside "Keller succeeded Rossi"."""

from collections.abc import Iterator
from typing import NamedTuple

import regex

from llmattr.text.own_words import own_words
from llmattr.text.units import MONTHS, fold
from llmattr.text.verbs import alike

_TOKEN = regex.compile(r"\p{N}+|['’]\p{L}|[\p{L}\p{M}]+|[^\s\w]")
_ARTICLES = frozenset(("the", "a", "an"))
_BE = frozenset(("was", "were", "is", "are", "been", "being", "be", "got"))
_HELPING = """has have had did does do will would can could who that which first once later then also eventually finally soon"""
_PREPOSITIONS = """by in on to from of at over than for into as after before under against his her its their"""
_BEFORE = _BE.union(_ARTICLES, _HELPING.split())  # what may stand between a subject and its verb
_BEHIND = _ARTICLES.union(_PREPOSITIONS.split())  # between a verb and its object
_EITHER_WAY = regex.compile(  # where the order of the sides says nothing
    r"and|or|with|met|meets?|marr\w+|brothers?|sisters?|siblings?|cousins?|twins?|spouses?|partners?|wife|husband|friends?|equals?|same"
    r"|between|both|versus|vs|near|nearby|beside|adjacent|border\w*|differ\w*|similar|like|unlike|resembl\w*|co\w*|connect\w*|link\w*"
    r"|join\w*|parallel|opposite|compar\w*|relat\w*|rival\w*|neighbou?r\w*|next|called|known|named|also|means?",
    regex.I,
)
_IN_A_NAME = regex.compile(r" |[-–.]|\. |['’]| (?:of|the|de|la|van|von|der|del|di|&)(?: the)? ")
_NAME = regex.compile(r"\p{L}[\p{L}\p{M}]+")


class Side(NamedTuple):
    """A word, or the words of a name, and where it stands."""

    start: int
    end: int
    text: str


class _Told(NamedTuple):
    """Who does what to whom; how it is said: whether the verb is passive, has a form of "to be", and its other small words."""

    agent: Side
    verb: Side
    patient: Side
    is_passive: bool
    has_be: bool
    small: tuple[str, ...]


def turned(claim: str, passage: str) -> Side | None:
    """The verb of the claim whose two sides the passage has the other way round; None where it is not sure.

    The passive is turned back. Where both are active or both are passive, their prepositions are the same.

    >>> turned("Rossi succeeded Keller.", "Keller succeeded Rossi in 1990.").text
    'succeeded'
    >>> turned("Rossi succeeded Keller.", "In 1990 Keller was succeeded by Maria Rossi.")
    """
    found = None
    for one in _told(claim):
        for other in _told(passage):
            if not alike(one.verb.text, other.verb.text) or not _comparable(one, other):
                continue
            if _same(one.agent, other.agent) and _same(one.patient, other.patient):
                return None
            if _same(one.agent, other.patient) and _same(one.patient, other.agent) and not _same(one.agent, one.patient):
                found = one.verb
    return found


def _comparable(one: _Told, other: _Told) -> bool:
    """Whether the sides of the one are those of the other."""
    if one.is_passive != other.is_passive:
        return not {*one.small, *other.small} - {"by"}
    return (one.has_be, one.small) == (other.has_be, other.small)


def _told(sentence: str) -> Iterator[_Told]:
    """Every word between two that may be its sides; numbers and months between them are left out."""
    sides = list(_sides(sentence))
    for first, verb, second in zip(sides, sides[1:], sides[2:], strict=False):
        before, behind = _small(sentence, first.end, verb.start), _small(sentence, verb.end, second.start)
        if not (_BEFORE.issuperset(before) and _BEHIND.issuperset(behind)):
            continue
        if verb.text[0].isupper() or _EITHER_WAY.fullmatch(verb.text):
            continue
        is_passive = "by" in behind[-2:]
        small = tuple(word for word in (*before, *behind) if word in _BEHIND and word not in _ARTICLES | {"in"})
        agent, patient = (second, first) if is_passive else (first, second)
        if not sentence.startswith(("'s", "’s"), patient.end):
            yield _Told(agent, verb, patient, is_passive, bool(_BE.intersection(before)), small)


def _sides(sentence: str) -> Iterator[Side]:
    """The words with a meaning, those of a name together; no numbers, no months."""
    last: Side | None = None
    for word in own_words(sentence, language="en"):
        if word.number is not None or fold(word.text) in MONTHS:
            continue
        gap = sentence[last.end : word.start] if last else ""
        if last and last.text[0].isupper() and word.text[0].isupper() and _IN_A_NAME.fullmatch(gap):
            last = Side(last.start, word.end, sentence[last.start : word.end])
            continue
        if last:
            yield last
        last = Side(word.start, word.end, word.text)
    if last:
        yield last


def _small(sentence: str, start: int, end: int) -> list[str]:
    """The words between two others, without numbers and months."""
    words = [fold(word) for word in _TOKEN.findall(sentence[start:end])]
    return [word for word in words if not word.isdecimal() and word not in MONTHS]


def _same(one: Side, other: Side) -> bool:
    """Whether one may be the other: "Rossi" is Maria Rossi."""
    said, there = ({fold(word) for word in _NAME.findall(side.text)} for side in (one, other))
    return bool(said and there) and (said <= there or there <= said)
