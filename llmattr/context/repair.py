"""The answer again with the citations that hold: wrong markers dropped, missing ones added."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from llmattr.context.standing import STANDINGS, CheckedMarker, Sentence, unmarked
from llmattr.text.shapes.marked import Marked

_CLOSING = re.compile(r"[.!?。！？…:;]*[\"'”’»)\]*_]*\s*$")  # what ends a sentence, behind which no mark stands
Done = Literal["dropped", "added", "renumbered"]


@dataclass(frozen=True)
class Change:
    """A marker that was dropped or added, or a document that has another number: in which sentence, and why."""

    done: Done
    mark: str
    why: str
    sentence: int | None = None


@dataclass(frozen=True)
class Repaired:
    """The answer with its new markers, and what was changed."""

    text: str
    changes: tuple[Change, ...]


class _Carried(NamedTuple):
    """What an answer carries."""

    marked: Marked
    sentences: Sequence[Sentence]
    markers: Sequence[CheckedMarker]

    @property
    def missing(self) -> list[int]:
        """The sentences that lack a marker."""
        return unmarked(self.sentences, self.markers)


def repaired(marked: Marked, sentences: Sequence[Sentence], markers: Sequence[CheckedMarker]) -> Repaired:
    """What holds stays where it stood; what a sentence lacks, its best document, stands at its end.

    A number is the document's place, from 1. Where the answer ends with a list of references, documents are numbered as they
    are first cited, and the list is written anew.
    """
    check = _Carried(marked, sentences, markers)
    listed = any(one.marker.number is not None and one.marker.title is not None for one in check.markers)
    cited = {t: dict(_cited(check, t)) for t in range(len(check.sentences))}
    order = list(dict.fromkeys(document for documents in cited.values() for document in documents))
    numbers = {d: (order.index(d) if listed else d) + 1 for d in order}
    text, end = "", 0
    for documents in cited.values():
        places: dict[int, list[int]] = {}
        for document, place in documents.items():
            places.setdefault(place, []).append(document)
        for place, some in sorted(places.items()):
            text += check.marked.answer[end:place] + _marks(check.marked.answer[:place], [numbers[d] for d in some])
            end = place
    text += check.marked.answer[end:]
    if listed and order:
        text = f"{text.rstrip()}\n\n" + "\n".join(f"[{numbers[d]}] {_name(check, d)}" for d in order) + "\n"
    return Repaired(text, tuple(_changes(check, numbers)))


def _cited(check: _Carried, t: int) -> Iterator[tuple[int, int]]:
    """The documents that a sentence shall cite, each with its place in the answer."""
    sentence, there = check.sentences[t], False
    for one in check.markers:
        if one.sentence == t and one.holds and one.marker.document is not None:
            inside = sentence.start < one.marker.end <= sentence.end
            yield one.marker.document, one.marker.end if inside else _end(check, t)
            there = True
    if not there and t in check.missing and sentence.supporters:
        yield sentence.supporters[0], _end(check, t)


def _end(check: _Carried, t: int) -> int:
    """Where a mark stands behind a sentence: before what closes it."""
    sentence = check.sentences[t]
    text = check.marked.answer[sentence.start : sentence.end]
    closing = _CLOSING.search(text)
    return sentence.start + (closing.start() if closing else len(text))


def _marks(before: str, numbers: list[int]) -> str:
    space = "" if not before or before[-1].isspace() else " "
    return space + "".join(f"[{number}]" for number in sorted(numbers))


def _name(check: _Carried, document: int) -> str:
    one = check.marked.documents[document]
    return one.title or one.id


def _changes(check: _Carried, numbers: dict[int, int]) -> Iterator[Change]:
    for one in check.markers:
        if one.holds:
            continue
        yield Change("dropped", _written(check, one.marker.written, one.marker.name), STANDINGS[one.standing], one.sentence)
    for t in check.missing:
        if supporters := check.sentences[t].supporters:
            best = supporters[0]
            yield Change("added", f"[{numbers[best]}]", f"{_name(check, best)} supports it", t)
    for document, number in numbers.items():
        told = [one.marker.number for one in check.markers if one.marker.document == document]
        if old := sorted({one for one in told if one is not None and one != number}):
            was = ", ".join(f"[{one}]" for one in old)
            yield Change("renumbered", f"[{number}]", f"{_name(check, document)} was {was}")


def _written(check: _Carried, written: tuple[int, int] | None, name: str) -> str:
    """A mark as it was written, or the source's name where there was none."""
    return check.marked.written[slice(*written)] if written else name
