"""Formats that are read line by line: what each stretch of lines is, with prose together until something else comes."""

from collections.abc import Callable, Sequence
from typing import Literal

from llmattr.text.split import code, plain
from llmattr.text.split.blocks import Block, Line, newlines_of, shifted

What = Literal["prose", "code", "row", "head", "title"]  # head: a row that names the columns; what is in no stretch is markup
Stretch = tuple[What, Sequence[Line]]
# Of the lines, which of them is read, and the prose before it: the stretches that begin there, and the line that is next.
Read = Callable[[Sequence[Line], int, Sequence[Line]], tuple[Sequence[Stretch], int]]


def blocks_of(text: str, read: Read) -> list[Block]:
    """The blocks of a text that is read so."""
    found: list[Block] = []
    lines = newlines_of(text)
    prose: list[Line] = []
    at = 0
    while at < len(lines):
        stretches, behind = read(lines, at, prose)
        goes_on = [what for what, _ in stretches] == ["prose"] and stretches[0][1][0] is lines[at]
        if not goes_on:
            found += _blocks("prose", prose, text)
            prose = []
        for what, those in stretches:
            if what == "prose":
                prose += those
            else:
                found += _blocks(what, those, text)
        at = behind
    return found + _blocks("prose", prose, text)


def _blocks(what: What, lines: Sequence[Line], text: str) -> list[Block]:
    if not lines:
        return []
    start, end = lines[0].start, lines[-1].end
    if what == "prose" or what == "code":
        return shifted((code if what == "code" else plain).blocks(text[start:end]), start)
    start += len(lines[0].text) - len(lines[0].text.lstrip())
    return [Block(start, end, "heading" if what == "title" else "row", what == "row")]


def rest_of(line: Line, begin: int) -> Line:
    """What stands in a line from a character on."""
    return Line(line.start + begin, line.text[begin:])


def table(rows: Sequence[Sequence[Line]], heads: int) -> list[Stretch]:
    """The rows of a table, of which the first ones name the columns."""
    return [("head" if k < heads else "row", row) for k, row in enumerate(rows) if row]


def run_end(lines: Sequence[Line], at: int, belongs: Callable[[str], object]) -> int:
    """Behind the lines from `at` on that belong together."""
    return next((k for k in range(at, len(lines)) if not belongs(lines[k].text)), len(lines))
