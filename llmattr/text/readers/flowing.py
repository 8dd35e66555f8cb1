"""The lines of pages as a text: wrapped lines joined, hyphens at their ends undone, and what is known of its stretches."""

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from llmattr.core.sources import Kind
from llmattr.text.readers.lines import LETTER, Line
from llmattr.text.readers.roles import Role

FULL = 0.65  # a line of this share of its column's width is taken to go on in the next
_MARKER = re.compile(r"\s*(?:[-*•‣◦▪–—·]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s|\[\d{1,3}\]\s|\d+(?:\.\d+)+\.?\s)")
_END = re.compile(r"[.!?:;。！？…][\"'”’»)\]]*\s*$")
_HYPHEN = re.compile(r"(\w+)[-\u2010\u00ad]\s*$")
_WORD = re.compile(r"\w+(?:[-\u2010]\w+)*")


class Text(NamedTuple):
    """A text, from which character on each page begins, and the stretches whose kind is known."""

    text: str
    places: tuple[tuple[int, dict[str, Any]], ...]
    blocks: tuple[tuple[int, int, Kind], ...]


class _Placed(NamedTuple):
    """A line, its role, its page, how far lines stand below one another there (None: it is the first), and if it is full."""

    line: Line
    role: Role
    page: int
    step: float | None
    full: bool


def flowing(pages: Sequence[Sequence[Line]], roles: Sequence[Sequence[Role]]) -> Text:
    """The text of all pages, paragraphs with an empty line between them."""
    known = Counter(word for lines in pages for line in lines for word in _WORD.findall(line.text))
    placed = [one for number, page in enumerate(zip(pages, roles, strict=True), 1) for one in _placed(number, *page)]
    text: list[str] = []
    places: list[tuple[int, dict[str, Any]]] = []
    blocks: list[tuple[int, int, Kind]] = []
    length, between = 0, "\n\n"
    for before, one, after in zip([None, *placed], placed, [*placed[1:], None], strict=False):
        if before is None or before.page != one.page:
            places.append((length, {"page": one.page}))
        same = before is not None and before.role == one.role and (between != "\n\n" or one.role == "code")
        said, between = _joint(one, after, known) if after else (one.line.text, "")
        if one.role:
            start = blocks.pop()[0] if same else length
            blocks.append((start, length + len(said), one.role))
        text += [said, between]
        length += len(said) + len(between)
    return Text("".join(text), tuple(places), tuple(blocks))


def _placed(page: int, lines: Sequence[Line], roles: Sequence[Role]) -> Iterator[_Placed]:
    step = _step(lines)
    edge = min((line.x for line, role in zip(lines, roles, strict=True) if role == "code"), default=0.0)
    for i, (line, role) in enumerate(zip(lines, roles, strict=True)):
        set_in = round((line.x - edge) / (LETTER * line.size)) if role == "code" and line.size else 0
        yield _Placed(line._replace(text=" " * set_in + line.text), role, page, step if i else None, _is_full(line, lines))


def _step(lines: Sequence[Line]) -> float:
    """How far a line stands below the one before, as a rule."""
    steps = [above.y - below.y for above, below in itertools.pairwise(lines) if above.alike(below) and above.y > below.y]
    return statistics.median(steps) if steps else 0.0


def _is_full(line: Line, lines: Sequence[Line]) -> bool:
    """Whether a line is about as long as those that start where it does."""
    column = sorted(len(other.text) for other in lines if other.alike(line) and abs(other.x - line.x) < 3 * line.size)
    return len(column) > 2 and len(line.text) >= FULL * column[len(column) * 9 // 10]


def _joint(one: _Placed, after: _Placed, known: Counter[str]) -> tuple[str, str]:
    """A line as it is written before the one after it, and what stands between them."""
    last, line, near = one.line, after.line, after.line.is_near(one.line)
    if "\t" in last.text or "\t" in line.text:  # cells of a row
        return last.text, "\n" if "\t" in last.text and "\t" in line.text and after.step is not None else "\n\n"
    if one.role != after.role:
        return last.text, "\n\n"
    if one.role == "heading" and near and last.alike(line):
        return _unhyphenated(last.text, line.text, known)
    if one.role == "code":
        return last.text, "\n" if near or last.y <= line.y else "\n\n"
    return _between(one, after, known) if one.role is None else (last.text, "\n" if near else "\n\n")


def _between(one: _Placed, after: _Placed, known: Counter[str]) -> tuple[str, str]:
    """The same of lines of text."""
    last, line, step = one.line, after.line, after.step
    down = last.y - line.y
    elsewhere = step is None or down <= 0  # on the next page, or at the top of the next column
    near = elsewhere or (step is not None and down <= 1.3 * step)
    ended, lower = bool(_END.search(last.text)), line.text[:1].islower()
    wrapped = one.full and not ended and abs(line.x - last.x) < 1 and not _MARKER.match(last.text)  # "it took\n5.5 h"
    marked = bool(_MARKER.match(line.text)) and not wrapped
    indented = line.x - last.x > 0.8 * line.size and not elsewhere and not _MARKER.match(last.text)
    goes_on = one.full or (lower and bool(_HYPHEN.search(last.text)))
    if goes_on and near and last.alike(line) and not (marked or indented) and (lower or not (elsewhere and ended)):
        return _unhyphenated(last.text, line.text, known)
    one_block = near and last.alike(line) and not elsewhere and not (indented and ended)
    return last.text, "\n" if one_block else "\n\n"


def _unhyphenated(last: str, line: str, known: Counter[str]) -> tuple[str, str]:
    """A word that was parted at the line's end whole again; one that has its hyphen elsewhere, too, keeps it."""
    parted, rest = _HYPHEN.search(last), re.match(r"\w+", line)
    if parted is None or rest is None:
        return last, " "
    whole, compound = known[parted[1] + rest[0]], known[f"{parted[1]}-{rest[0]}"]
    one_word = whole > 0 or (compound == 0 and rest[0][0].islower())
    return last[: parted.end(1)] if one_word else last, ""
