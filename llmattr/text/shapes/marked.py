"""An answer that carries citations already: its text, and for each of its markers where it stands and what it claims."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from llmattr.core.sources import Document
from llmattr.text.shapes.units import POINTS, span

_BEGINNING = re.compile(r"[ \t]*(?:[-*+•>|]|\d{1,3}[.)])?[ \t]*")  # of a line, or of an item


@dataclass(frozen=True)
class Marker:
    """One source that the answer claims, for the code points `start` to `end` of the answer: a place where the two are one.

    What it says of the source: its `number` among the documents that were asked, from 1; `title`; `key`, an address or id; the
    `quote` that is its text, with its code points in the document (`span`) and its `page`. `written`: the characters of a mark,
    in the answer as it was written. `document`: the source's place among the documents; None: there is no such source.
    """

    start: int = 0
    end: int = 0
    number: int | None = None
    title: str | None = None
    key: str | None = None
    quote: str | None = None
    span: tuple[int, int] | None = None
    page: int | None = None
    written: tuple[int, int] | None = None
    document: int | None = None

    @property
    def name(self) -> str:
        """What the answer calls the source."""
        return self.title or self.key or str(self.number)


@dataclass(frozen=True)
class Marked:
    """An answer without its marks and its list of references, its markers in order, and the documents that they name.

    The documents are those that were given, or else what the answer itself has of them. `written`: the answer with its marks.
    """

    answer: str
    markers: tuple[Marker, ...]
    written: str
    documents: tuple[Document, ...] = ()


class Claim(NamedTuple):
    """A marker as a vendor places it: in which part of the answer, from where to where (None: all of it); what it says."""

    part: int
    marker: Marker
    start: object = None
    end: object = None
    says: str | None = None


def placed(parts: Sequence[str], claims: Iterable[Claim], unit: str = POINTS) -> Marked:
    """The answer that these parts make, with each claim where it stands, counted in `unit` from the beginning of its part.

    A link to the source itself, or OpenAI's 【4:0†source】, is no claim but its mark, and is taken out.
    """
    starts, written = [0, *accumulate(map(len, parts))], "".join(parts)
    markers = []
    for part, marker, start, end, says in claims:
        first, last = _trimmed(parts[part]) if start is None else span(parts[part], start, end, unit, says)
        covered = parts[part][first:last]
        is_mark = covered.startswith("【") or ("://" in (marker.key or "") and (marker.key or "") in covered)
        first, last = starts[part] + first, starts[part] + last
        markers.append(replace(marker, start=first, end=last, written=(first, last) if is_mark else None))
    return without_marks(written, markers, [marker.written for marker in markers if marker.written])


def without_marks(
    written: str, markers: Sequence[Marker], marks: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]] = ()
) -> Marked:
    """The answer without these marks, with the space before them, and without other stretches, as they are."""
    drops = sorted({*_with_space(written, marks), *others})
    answer, end = "", 0
    for start, stop in drops:
        answer, end = answer + written[end:start] if start > end else answer, max(end, stop)
    answer += written[end:]

    def moved(place: int) -> int:
        gone = end = 0
        for start, stop in drops:
            start, stop = max(start, end), min(stop, place)
            gone, end = gone + max(0, stop - start), max(end, stop)
        return min(place - gone, len(answer))

    markers = [replace(marker, start=moved(marker.start), end=moved(marker.end)) for marker in markers]
    return Marked(answer, tuple(sorted(markers, key=lambda marker: (marker.end, marker.start))), written)


def _trimmed(text: str) -> tuple[int, int]:
    """All of it but the white space around it."""
    start = len(text) - len(text.lstrip())
    return start, max(start, len(text.rstrip()))


def _with_space(text: str, marks: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs of marks, with what parts and encloses them, and the space before, or behind where they begin a line."""
    runs: list[tuple[int, int]] = []
    for start, stop in sorted(set(marks)):
        if runs and re.fullmatch(r"[ \t]*[,;]?[ \t]*", text[runs[-1][1] : start]):
            start, stop = runs[-1][0], max(stop, runs.pop()[1])
        runs.append((start, stop))
    return [_spaced(text, *run) for run in runs]


def _spaced(text: str, start: int, stop: int) -> tuple[int, int]:
    if text[:start].endswith("(") and text.startswith(")", stop):
        start, stop = start - 1, stop + 1
    line = text[text.rfind("\n", 0, start) + 1 : start]
    if _BEGINNING.fullmatch(line):
        return start, stop + len(text[stop:]) - len(text[stop:].lstrip(" \t"))
    return start - (0 if text[stop : stop + 1].isalnum() else len(line) - len(line.rstrip(" \t"))), stop
