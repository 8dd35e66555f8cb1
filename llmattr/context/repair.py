"""The answer again with the citations that hold: wrong markers dropped, missing ones added, what nothing supports told."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from llmattr.context import made_up as made_ups
from llmattr.context.standing import STANDINGS, CheckedMarker, Sentence, by_sentence, unmarked
from llmattr.errors import check_choice
from llmattr.text.shapes.marked import Marked, begins_line
from llmattr.text.shapes.naming import own_names, title_of

_CLOSING = ("\"'”’»」』*_", ".!?。！？…:;")  # what ends a sentence, behind which no mark stands: outside, inside
Done = Literal["dropped", "added", "renumbered", "replaced", "kept", "unmarked", "marked", "removed"]
Edit = tuple[tuple[int, int], str]  # characters of the answer, and what is written for them


@dataclass(frozen=True)
class Change:
    """What was done with a marker, with a document's number, or with a sentence that no document supports, and why.

    A wrong marker that is a word is replaced or kept. A sentence (`mark` is its text) is left unmarked, marked or removed.
    """

    done: Done
    mark: str
    why: str
    sentence: int | None = None


@dataclass(frozen=True)
class Repaired:
    """The answer with its new markers, and what was changed; where in it stands what no document supports, [start, end)."""

    text: str
    changes: tuple[Change, ...]
    unsupported: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Carried:
    """What an answer carries."""

    marked: Marked
    sentences: Sequence[Sentence]
    markers: Sequence[CheckedMarker]
    unsupported: made_ups.Unsupported = "keep"

    @cached_property
    def missing(self) -> dict[int, int]:
        """The best document of each sentence that lacks a marker, where one supports it."""
        lacking = {t: self.better(t) for t in unmarked(self.marked.answer, self.sentences, self.markers)}
        return {t: supporters[0] for t, supporters in lacking.items() if supporters}

    def better(self, t: int) -> list[int]:
        """The documents that support a sentence, the best first: of one that is marked, those with more of its words.

        A document that has less of them than one whose mark does not hold has the name of a claim, say, and the marked one the
        rest: what they are mixed to stands in neither. One that says the contrary has them all, and is none of the two.
        """
        supports = self.sentences[t].supports
        places = [one.marker.document for one in self.by_sentence.get(t, []) if not one.holds]
        marked = [supports[place] for place in places if place is not None and not supports[place].contrary]
        most = max((one.stated or 0.0 for one in marked), default=-1.0)
        return [document for document in self.sentences[t].supporters if (supports[document].stated or 0.0) > most]

    @cached_property
    def by_sentence(self) -> dict[int | None, list[CheckedMarker]]:
        """The markers of each sentence."""
        return by_sentence(self.markers)

    @cached_property
    def instead(self) -> dict[CheckedMarker, int | None]:
        """What each mark that is a word shall name: where it does not hold, the best document that none beside it names."""
        found: dict[CheckedMarker, int | None] = {}
        for t, every in self.by_sentence.items():
            words = [one for one in every if one.marker.is_word]
            found |= {one: one.marker.document for one in words}
            better = [] if t is None else self.better(t)
            for one in words:
                beside = {found[other] for other in words}
                if not one.holds:
                    found[one] = next((document for document in better if document not in beside), one.marker.document)
        return found

    @cached_property
    def named(self) -> set[tuple[int, int] | None]:
        """The marks that are words and name a document: numbers of no source go from them."""
        return {one.marker.written for one, document in self.instead.items() if document is not None}

    @cached_property
    def called(self) -> dict[int, str]:
        """What documents are called in marks, where the answer has names for marks: "[report.txt]", "[step 3]"."""
        own = own_names(self.marked.documents)
        inner = [self.marked.written[slice(*one.marker.written)][1:-1] for one in self.markers if one.marker.written]
        used = {own[name.casefold()] - 1: name for name in reversed(inner) if name.casefold() in own}
        names: dict[int, str] = {}
        for name, number in sorted(own.items(), key=lambda one: -len(one[0])):
            names[number - 1] = name
        return names | used if used else {}

    def mark(self, document: int, number: int, where: str = "") -> str:
        """The mark of a document, by what it is called or its number, with its page."""
        return f"[{self.called.get(document, number)}{f', {where}' if where else ''}]"

    @cached_property
    def made_up(self) -> dict[int, made_ups.Done]:
        """The sentences that nothing supports, and what is done with each."""
        return made_ups.made_up(self.marked.answer, self.sentences, self.markers, self.unsupported)

    def said(self, t: int) -> str:
        """The text of a sentence."""
        return self.marked.answer[self.sentences[t].start : self.sentences[t].end]

    def stays(self, one: CheckedMarker) -> bool:
        """Whether a mark is left that names what it named before: a word, not given to another document."""
        if one.sentence is not None and self.made_up.get(one.sentence) == "removed":
            return False
        same = one in self.instead and self.instead[one] == one.marker.document
        return same and (one.marker.document is not None or one.marker.written not in self.named)

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong or missing in a text that says so itself: a vendor's has no marks."""
        return not self.missing and all(one.holds and one.marker.written for one in self.markers)

    @cached_property
    def space(self) -> str:
        """What stands before a mark: nothing, where this answer's stand close to what is before them, as in Chinese."""
        starts = {one.marker.written[0] for one in self.markers if one.marker.written}
        before = [self.marked.written[start - 1] if start else " " for start in starts]
        return "" if before and not any(letter in " \t\n(" for letter in before) else " "


def repaired(
    marked: Marked, sentences: Sequence[Sentence], markers: Sequence[CheckedMarker], unsupported: made_ups.Unsupported = "keep"
) -> Repaired:
    """What holds stays where it stood; what a sentence lacks, its best document, stands for a wrong one or at its end.

    A wrong mark that is a word of its sentence ("According to [1]") gives its place to the best document, or stays.

    A number is the document's place, counted as the answer counts. Where it says what its sources are called, documents are
    numbered as they are first cited, and the list of references is written anew. One with nothing wrong is as it was written.

    What no document supports is kept, gets `made_up.NEEDED` for a mark, or is dropped (`unsupported`).
    """
    check_choice("unsupported", unsupported, tuple(made_ups.UNSUPPORTED))
    check = _Carried(marked, sentences, markers, unsupported)
    if check.is_right and not set(check.made_up.values()) - {"unmarked"}:
        spans = made_ups.as_written([check.said(t) for t in check.made_up], marked.written)
        return Repaired(marked.written, tuple(_untold(check)), tuple(spans))
    listed = bool(marked.listed) or any(one.marker.title is not None for one in check.markers)
    cited = [sorted(set(_cited(check, t))) for t in range(len(check.sentences))]
    order = list(dict.fromkeys(document for places in cited for _, document, _ in places))
    numbers = {d: (order.index(d) if listed else d) + marked.first for d in order}
    edits = [
        (place, _marks(check, place, sorted((numbers[d], d, where) for _, d, where in same)))
        for place, same in groupby((one for places in cited for one in places), key=lambda one: one[0])
    ]
    text, spans = _edited(check, sorted([*edits, *_of_made_up(check)]))
    if listed and order:
        text = f"{text.rstrip()}\n\n" + "\n".join(f"[{numbers[d]}] {_reference(check, d)}" for d in order) + "\n"
    return Repaired(text, (*_changes(check, numbers), *_untold(check)), spans)


def _of_made_up(check: _Carried) -> Iterator[Edit]:
    """What is written for the sentences that nothing supports."""
    for t, done in check.made_up.items():
        if done == "removed":
            yield made_ups.with_its_space(check.marked.answer, check.sentences[t]), ""
        elif done == "marked" and made_ups.NEEDED not in check.said(t):
            place = _place(check, t, None)
            yield (place, place), f" {made_ups.NEEDED}"


def _edited(check: _Carried, edits: Sequence[Edit]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The answer with what is written instead of its characters, and where the sentences stand that nothing supports."""
    answer, text, end = check.marked.answer, "", 0
    for (start, stop), new in edits:
        text += answer[end:start] + new
        end = stop

    def moved(place: int) -> int:
        return place + sum(len(new) - (stop - start) for (start, stop), new in edits if stop <= place)

    left = [check.sentences[t] for t, done in check.made_up.items() if done != "removed"]
    return text + answer[end:], tuple((moved(one.start), moved(one.end)) for one in left)


def _untold(check: _Carried) -> Iterator[Change]:
    """What is done with the sentences that nothing supports."""
    for t, done in check.made_up.items():
        is_part = made_ups.UNSUPPORTED[check.unsupported] != done
        why = "no document supports it" + (", and it is a part of a sentence" if is_part else "")
        yield Change(done, " ".join(check.said(t).split()).lstrip("-*+•|> "), why, t)


def _cited(check: _Carried, t: int) -> Iterator[tuple[tuple[int, int], int, str]]:
    """The documents that a sentence shall cite, each with the characters of the answer that its mark takes, and its page."""
    if check.made_up.get(t) == "removed":
        return
    every, end = check.by_sentence.get(t, []), check.sentences[t].end
    own, words = [one for one in every if not one.marker.is_word], [one for one in every if one.marker.is_word]
    for one in words:
        if (document := check.instead[one]) is not None:
            yield (one.marker.start, one.marker.end), document, _where(check, one) if document == one.marker.document else ""
    inside = {one.marker.document for one in own if one.marker.end <= end}
    for one in own:
        document = one.marker.document
        if one.holds and document is not None and (one.marker.end <= end or document not in inside):
            place = _place(check, t, one)
            yield (place, place), document, _where(check, one)
    if t in check.missing and not words:
        place = _place(check, t, own[-1] if own else None)
        yield (place, place), check.missing[t], ""


def _where(check: _Carried, one: CheckedMarker) -> str:
    """What a mark says behind its number: "p. 3"."""
    number, page = one.marker.number, one.marker.page
    behind = re.compile(rf"\b{number}[,:]?\s?([a-z§][^\d\]】］;]*{page}(?!\d)[-–\d.]*)", re.I)
    said = page and behind.search(_written(check, one.marker.written, ""))
    return said[1] if said else ""


def _place(check: _Carried, t: int, one: CheckedMarker | None) -> int:
    """Where a mark stands: where this one did, if that is in its sentence, else before what closes the sentence.

    Not where a line begins, but for a row of a table: there it could be the label of a reference.
    """
    sentence, answer = check.sentences[t], check.marked.answer
    place = sentence.start if one is None else one.marker.end
    is_row = answer[sentence.start : place].strip() == "|"
    if sentence.start < place <= sentence.end and (is_row or not begins_line(answer, place)):
        return place
    said = answer[sentence.start : sentence.end].rstrip()
    for closing in ("| \t", *_CLOSING):  # a row of a table first
        said = said.rstrip(closing).rstrip() or said
    end = sentence.start + len(said)
    return end - 1 if answer.startswith("](", end - 1) else end  # within the words of a link, which goes on


def _marks(check: _Carried, place: tuple[int, int], cited: list[tuple[int, int, str]]) -> str:
    """What is written for the documents that are cited at this place: their numbers, which documents they are, their pages."""
    answer, marks = check.marked.answer, "".join(check.mark(document, number, where) for number, document, where in cited)
    start, end = place
    if start < end:  # a word
        return marks if answer[start] in "[【［(<" else _in_prose(check, answer[start:end], *cited[0][:2])
    if begins_line(answer, start):
        return f"{marks} "
    is_inside = answer[start - 1].isspace() or answer[start : start + 1].isalnum()
    return marks if is_inside else f"{check.space}{marks}"


def _in_prose(check: _Carried, said: str, number: int, document: int) -> str:
    """ "Document 2" with another number; a step as it is called."""
    called = check.called.get(document) if said.casefold().startswith("step") else None
    return called or re.sub(r"\d+", str(number), said)


def _reference(check: _Carried, document: int) -> str:
    """What the answer says of a source, else what it is called, in a line."""
    said = [*(one.marker for one in check.markers), *check.marked.listed]
    told = (one.title for one in said if one.document == document)
    return " ".join((next(filter(None, told), None) or title_of(check.marked.documents[document])).split())


def _changes(check: _Carried, numbers: dict[int, int]) -> Iterator[Change]:
    for one in check.markers:
        if one.holds:
            continue
        mark, why = _written(check, one.marker.written, one.marker.name), STANDINGS[one.standing]
        best = check.instead.get(one)
        if best is not None and best != one.marker.document:
            yield Change("replaced", mark, f"{why}; {check.mark(best, numbers[best])} does", one.sentence)
        else:
            yield Change("kept" if check.stays(one) else "dropped", mark, why, one.sentence)
    for t, best in check.missing.items():
        if not any(one.marker.is_word for one in check.by_sentence.get(t, [])):
            yield Change("added", check.mark(best, numbers[best]), f"{title_of(check.marked.documents[best])} supports it", t)
    said = [*(one.marker for one in check.markers if one.marker.written), *check.marked.listed]
    for document, number in numbers.items():
        told = {one.number for one in said if one.document == document}
        if old := sorted(one for one in told if one is not None and one != number):
            was = ", ".join(f"[{one}]" for one in old)
            yield Change("renumbered", f"[{number}]", f"{title_of(check.marked.documents[document])} was {was}")


def _written(check: _Carried, written: tuple[int, int] | None, name: str) -> str:
    """A mark as it was written, or the source's name where there was none."""
    return check.marked.written[slice(*written)] if written else name
