"""What a marker is worth: the sentence that it stands for, what each document does for that, and what follows."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from llmattr.core.evidence import Verdict
from llmattr.core.sources import Sources
from llmattr.text import split
from llmattr.text.own_words import own_words
from llmattr.text.shapes.marked import Marked, Marker, begins_line
from llmattr.text.shapes.references import is_heading
from llmattr.text.split.abbreviations import is_before_a_name
from llmattr.text.split.talk import is_talk

Standing = Literal["needed", "carried", "silent", "wrong", "contradicts", "nowhere"]
STANDINGS: dict[Standing, str] = {
    "needed": "supports, and is needed",
    "carried": "supports, not needed: another document does too",
    "silent": "stands behind what is said to be in no document",
    "wrong": "does not support",
    "contradicts": "contradicts",
    "nowhere": "there is no such source",
}
_STOP = re.compile(r"[.!?…][\"'”’)]*\s+\Z")
_LABEL = re.compile(r"[ \t]*(?:(?:[-*+•]|\d{1,3}[.)])[ \t]+)?(\*\*|__)[^*_\n]*[^*_\n.!?。！？…]\1[ \t]*")  # **The tower**
_ITEM = re.compile(r"(?m)^([ \t]*)(?:[-*+•]|\d{1,3}[.)])[ \t]")
_RULE = r"[ \t]*+\|?(?:[ \t]*+:?-++:?[ \t]*+\|)*+[ \t]*+(?::?-++:?)?[ \t]*+"  # nothing is tried twice
_TABLE = re.compile(rf"(?m)^(?P<head>[^|\n]*\|[^\n]*)\n(?=[^\n]*-){_RULE}\n(?:[^|\n]*\|[^\n]*(?:\n|\Z))+")  # its head, its rows
CLAIM = 3  # words with a meaning, of a part of a sentence that is judged by itself
HOLDING: tuple[Standing, ...] = ("needed", "carried", "silent")


@dataclass(frozen=True)
class Support:
    """What one document does for one sentence, were it the whole context.

    `verdict`: by the rule of `core.evidence`; by words alone it is "context", "contradicted" or "unsupported". `stated`: the
    share of the words that the sentence adds to the question which one sentence of the document has. `explained`: the share of
    their surprise that the document takes away. `alone`, `needed`: nats that it gives alone, and that are lost without it; None
    by words alone. `missing`: names and numbers that it has not, as characters of the answer. `because`: the signal that
    decided it. `quote`: the document's characters that say it best. `entailed`: how likely a judge finds that it follows; None
    without one. `contrary`: the word of which the document, which has the sentence's words, says the contrary, as characters of
    the answer.
    """

    document: int
    verdict: Verdict
    because: str
    stated: float | None = None
    explained: float | None = None
    alone: float | None = None
    needed: float | None = None
    missing: tuple[tuple[int, int], ...] = ()
    quote: tuple[int, int] | None = None
    entailed: float | None = None
    contrary: tuple[int, int] | None = None

    @property
    def holds(self) -> bool:
        """Whether it supports the sentence."""
        return self.verdict == "context"


@dataclass(frozen=True)
class Sentence:
    """A sentence of the answer, or its part up to a mark (`clauses`): its verdict, and what each document does for it."""

    start: int
    end: int
    verdict: Verdict
    supports: tuple[Support, ...]  # one a document

    @property
    def supporters(self) -> list[int]:
        """The documents that support it, the best first."""
        holding = [one for one in self.supports if one.holds]
        return [one.document for one in sorted(holding, key=_strength, reverse=True)]


def _strength(one: Support) -> float:
    return (one.explained or 0.0) + (one.stated or 0.0)


@dataclass(frozen=True)
class CheckedMarker:
    """A marker, the sentence behind which it stands (by its place among the sentences; None: behind none), and its standing."""

    marker: Marker
    sentence: int | None
    standing: Standing

    @property
    def holds(self) -> bool:
        """Whether its source supports the sentence, or there is nothing to support."""
        return self.standing in HOLDING


def of_sentences(marked: Marked, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each marker the sentences that it stands for: those that it covers, or the one that ends where it stands or before.

    A marker in front of the first sentence, or of one that begins a line, stands for it; in a line where all do, so do others.
    One in a heading stands for the sentence below, one in a table's head for each of its rows.
    """
    tables = [(*table.span("head"), table.end()) for table in _TABLE.finditer(marked.answer)]
    found, leading = [], _leading(marked, [end for _, end in spans])
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    for marker in marked.markers:
        if rows := next((rows for start, *rows in tables if start <= marker.start <= rows[0]), None):
            found.append(list(range(bisect_left(starts, rows[0]), bisect_left(starts, rows[1]))))
        elif marker.start == marker.end:
            begins = marker.start in starts and marked.answer.endswith("\n", 0, marker.start)
            in_front = begins or marker.start in leading or _in_heading(marked.answer, marker.start, starts)
            found.append([max(bisect_left(starts, marker.start) - (not in_front), 0)][: len(spans)])
        else:
            found.append(list(range(bisect_right(ends, marker.start), bisect_left(starts, marker.end))))
    return found


def _in_heading(answer: str, place: int, starts: Sequence[int]) -> bool:
    """Whether this is a place in a heading that has a sentence below it."""
    line = answer[answer.rfind("\n", 0, place) + 1 : place]
    return line.lstrip().startswith("#") and place < starts[-1]


def reaching(marked: Marked, sentences: Sequence[Sentence], stands: list[list[int]]) -> list[list[int]]:
    """The same, where marks that stand together behind a paragraph share its sentences, and those of a line of their own all;
    the mark of a table's column is for the rows that it supports.

    "It opened in 1914. It is red. [1][2]": where [1] supports the last and [2] does not, that is for the one before, which has
    no mark, if it supports it.
    """
    own = {t for some in stands for t in some}
    named: dict[int, list[int]] = {}  # documents by where their marks stand
    for marker in marked.markers:
        named.setdefault(marker.start, []).extend([] if marker.document is None else [marker.document])
    found = []
    for marker, some in zip(marked.markers, stands, strict=True):
        document = marker.document
        if marker.start == marker.end and len(some) > 1:  # of a column
            held = [s for s in some if document is not None and sentences[s].supports[document].holds]
            found.append(held or some[:1])
            continue
        if marker.start < marker.end or document is None or not some or sentences[some[0]].supports[document].holds:
            found.append(some)
            continue
        t = some[0]
        is_apart = "\n" in marked.answer[sentences[t].end : marker.start]
        line = marked.answer.find("\n", marker.start)
        is_last = marked.answer[marker.start : None if line < 0 else line].strip(" \t.") == ""
        shares = is_last and any(sentences[t].supports[other].holds for other in named[marker.start])
        before = range(t) if is_apart else _before(marked.answer, sentences, t, own) if shares else ()
        found.append(next(([s] for s in reversed(before) if sentences[s].supports[document].holds), some))
    return found


def _before(answer: str, sentences: Sequence[Sentence], t: int, marked: Collection[int]) -> list[int]:
    """The sentences before one in its paragraph, back to one that has a mark."""
    found: list[int] = []
    for s in reversed(range(t)):
        if s in marked or "\n" in answer[sentences[s].end : sentences[s + 1].start]:
            break
        found.insert(0, s)
    return found


def _leading(marked: Marked, ends: Collection[int]) -> set[int]:
    """Where marks stand behind a sentence (they end at `ends`) and in front of the one that they are for: "[1] A. [2] B.".

    In a line that begins with a mark (or has its first behind a colon) and ends with none, the others stand between sentences.
    """
    places = sorted({one.start for one in marked.markers if one.start == one.end})
    found: set[int] = set()
    start = 0
    for line in marked.answer.splitlines(keepends=True):
        here = places[bisect_left(places, start) : bisect_right(places, start + len(line.rstrip()))]
        is_first = len(here) > 1 and (begins_line(marked.answer, here[0]) or marked.answer.endswith((":", "："), 0, here[0]))
        if is_first and here[-1] < start + len(line.rstrip()) and all(place in ends for place in here[1:]):
            found.update(here[1:])
        start += len(line)
    return found


def clauses(marked: Marked, spans: Sequence[tuple[int, int]], language: str | None = None) -> list[tuple[int, int]]:
    """The sentences, cut behind each of their marks but the last: "A [1] and B [2]." claims two things.

    A part has `CLAIM` words with a meaning or more, else its mark stands for more than it; what is behind the last mark belongs
    to the part before it. What has no mark and ends with a colon or is a label introduces what follows, and claims nothing; nor
    does code without one, talk, or "Sources:": of an answer that is nothing else, nothing is left.
    """
    places = sorted({marker.end for marker in marked.markers if marker.start == marker.end})
    inside_of = {span: places[bisect_right(places, span[0]) : bisect_right(places, span[1])] for span in _opened(marked, spans)}
    code = _code(marked.answer)
    spans = [one for one, marks in inside_of.items() if not is_talk(marked.answer[slice(*one)]) and (marks or one not in code)]
    found: list[tuple[int, int]] = []
    for start, end in spans:
        inside = inside_of[start, end]
        introduces = marked.answer[start:end].rstrip(" \t*_").endswith((":", "：")) or _is_label(marked.answer, start, end)
        if (introduces and not inside) or is_heading(marked.answer[start:end]):
            continue
        for place in inside[:-1]:
            if all(len(own_words(marked.answer[a:b], language=language)) >= CLAIM for a, b in ((start, place), (place, end))):
                found.append((start, place))
                start = place + len(marked.answer[place:end]) - len(marked.answer[place:end].lstrip())
        found.append((start, end))
    return found or spans


def _is_label(answer: str, start: int, end: int) -> bool:
    """Whether this only calls by a name what is below: a line in bold, or an item that has others in it."""
    line, _, below = answer[start:].partition("\n")
    if len(line.rstrip()) > end - start or not below.strip():
        return False
    first, next_item = _ITEM.search(answer, answer.rfind("\n", 0, start) + 1, end), _ITEM.match(below)
    has_items = first is not None and next_item is not None and len(next_item[1]) > len(first[1])
    ends = line.rstrip(" \t*_").endswith((".", "!", "?", "。", "！", "？", "…"))
    return (has_items and not ends) or _LABEL.fullmatch(line) is not None


def _opened(marked: Marked, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The sentences, cut in front of a mark that opens the next, as in "It is tall. [1] says so."."""
    ends = {one.start: one.end for one in marked.markers if one.is_word}
    words = sorted(ends)
    before = {place: marked.answer[max(0, place - 9) : place] for place in words}
    opening = [place for place, text in before.items() if _STOP.search(text) and not is_before_a_name(text)]
    found: list[tuple[int, int]] = []
    begun = None  # where a mark opens the next
    for first, end in spans:
        start, begun = first if begun is None else begun, None
        for place in opening[bisect_right(opening, start) : bisect_left(opening, end)]:
            found.append((start, start + len(marked.answer[start:place].rstrip())))
            start = place
        if start in opening and ends[start] >= end and (start, end) != spans[-1]:
            begun = start
        else:
            found.append((start, end))
    return found if begun is None else [*found, (begun, spans[-1][1])]


def _code(answer: str) -> set[tuple[int, int]]:
    """The characters of each block of code."""
    cut = split.cut(answer, "sentences", "answer")
    return {(int(a), int(b)) for (a, b), kind in zip(cut.spans, cut.blocks, strict=True) if kind == "code"}


def by_sentence(markers: Sequence[CheckedMarker]) -> dict[int | None, list[CheckedMarker]]:
    """The markers of each sentence that has any."""
    found: dict[int | None, list[CheckedMarker]] = {}
    for one in markers:
        found.setdefault(one.sentence, []).append(one)
    return found


def standing(document: int | None, sentence: Sentence) -> Standing:
    """What a marker that names this document is worth behind this sentence.

    A document that does not carry the sentence by itself still supports it where no document does, all of them together do, and
    without it the sentence loses its support (`needed` is a half of what all give, or more), unless another has all the names
    and numbers of the sentence that it has, and more.
    """
    if document is None:
        return "nowhere"
    if sentence.verdict == "refusal":
        return "silent"
    support = sentence.supports[document]
    others = [one for one in sentence.supporters if one != document]
    if support.holds:
        return "carried" if others else "needed"
    if support.verdict == "contradicted":
        return "contradicts"
    together = sentence.verdict == "context" and not others
    return "needed" if together and _is_part(support, sentence) else "wrong"


def _is_part(support: Support, sentence: Sentence) -> bool:
    if support.needed is None or any(set(one.missing) < set(support.missing) for one in sentence.supports):
        return False  # or another has all the names and numbers that it has, and more
    return support.needed > 0 and support.needed >= max((one.needed or 0.0) for one in sentence.supports) / 2


def best_passage(parts: Sources, document: int, shares: Float[np.ndarray, " n"]) -> tuple[float | None, tuple[int, int] | None]:
    """The highest share that one of a document's sentences has, and its characters; None where no words can be compared."""
    assert parts.groups is not None
    assert parts.spans is not None  # sources cut from documents have both
    own = np.flatnonzero((parts.groups == document) & np.isfinite(shares))
    if not len(own):
        return None, None
    best = own[shares[own].argmax()]
    return float(shares[best]), (int(parts.spans[best, 0]), int(parts.spans[best, 1]))


def unmarked(answer: str, sentences: Sequence[Sentence], markers: Sequence[CheckedMarker]) -> list[int]:
    """The supported sentences without a marker that holds: of their own, or the next one in their paragraph.

    A mark at the end of a paragraph stands for what is before it, too, where its document supports that.
    """
    marked, found = by_sentence(markers), []
    behind: set[int | None] = set()  # the documents of the next marks in the paragraph
    for t in reversed(range(len(sentences))):
        if t + 1 < len(sentences) and "\n" in answer[sentences[t].end : sentences[t + 1].start]:
            behind = set()
        own = marked.get(t, [])
        behind = {one.marker.document for one in own if one.holds} if own else behind
        if sentences[t].verdict == "context" and not (behind if own else behind.intersection(sentences[t].supporters)):
            found.append(t)
    return found[::-1]
