"""An answer that carries citations already: its text, and for each of its markers where it stands and what it claims."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from llmattr.core.fields import check_field, check_fields
from llmattr.core.sources import Document
from llmattr.text.shapes.units import POINTS, span

_AROUND = (("(", ")"), ("[", "]"), ("<sup>", "</sup>"))  # a mark, and what goes with it
_BEGINNING = re.compile(r"[ \t]*(?:[-*+•>|]|\d{1,3}[.)])?[ \t]*")  # of a line, or of an item


@dataclass(frozen=True)
class Marker:
    """One source that the answer claims, for the code points `start` to `end` of the answer: a place where the two are one.

    What it says of the source: its `number` among the documents that were asked, from `Marked.first`; `title`; `key`, an
    address or id; the `quote` that is its text, with its code points in the document (`span`) and its `page`. `written`: the
    characters of a mark, in the answer as it was written. `document`: the source's place among the documents; None: there is
    no such source.
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
    def is_word(self) -> bool:
        """Whether the mark stays in the answer, and covers itself: a word of its sentence, as in "[1] says"."""
        return self.written is not None and 0 < self.end - self.start == self.written[1] - self.written[0]

    @property
    def name(self) -> str:
        """What the answer calls the source."""
        return self.title or self.key or str(self.number)


@dataclass(frozen=True)
class Marked:
    """An answer without its marks and its list of references, its markers in order, and the documents that they name.

    The documents are those that were given, or else what the answer itself has of them. `written`: the answer with its marks.
    `listed`: the entries of its list of references, each as a marker would name it, whether a mark does or not. `first`: the
    number of the first document.
    """

    answer: str
    markers: tuple[Marker, ...]
    written: str
    documents: tuple[Document, ...] = ()
    listed: tuple[Marker, ...] = ()
    first: int = 1

    @cached_property
    def claimed(self) -> str:
        """The answer with white space for each mark that is a word: the mark's own name and number are no claim."""
        letters = list(self.answer)
        for one in self.markers:
            if one.is_word:
                letters[one.start : one.end] = " " * (one.end - one.start)
        return "".join(letters)


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
        check_fields(marker, "a citation")
        check_field("what a citation says", says, str | None)
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
    gone: list[tuple[int, int]] = []
    for start, stop in sorted({*_with_space(written, marks), *others}):
        last = gone.pop() if gone and start <= gone[-1][1] else (start, stop)
        gone.append((last[0], max(last[1], stop)))
    kept = [0, *(place for stretch in gone for place in stretch), len(written)]
    answer = "".join(written[start:stop] for start, stop in zip(kept[::2], kept[1::2], strict=True))
    starts, sizes = [start for start, _ in gone], [0, *accumulate(stop - start for start, stop in gone)]

    def moved(place: int) -> int:
        before = bisect_left(starts, place)
        inside = max(0, gone[before - 1][1] - place) if before else 0
        return place - sizes[before] + inside

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
    for opening, closing in _AROUND:
        if text.endswith(opening, 0, start) and text.startswith(closing, stop):
            start, stop = start - len(opening), stop + len(closing)
    if begins_line(text, start):
        while text.startswith((" ", "\t"), stop):
            stop += 1
    elif not text[stop : stop + 1].isalnum():
        while text.startswith((" ", "\t"), start - 1):
            start -= 1
    return start, stop


def begins_line(text: str, place: int) -> bool:
    """Whether what stands here begins a line, or the item of a list that is one."""
    return _BEGINNING.fullmatch(text, text.rfind("\n", 0, place) + 1, place) is not None
