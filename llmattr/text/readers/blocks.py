"""What is read from HTML, DOCX and ODT, written as Markdown: a text of its own that keeps headings, lists and tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from llmattr.core.sources import Kind

# What would begin a block of Markdown at the start of a line or of an item; the marks of items stay: a typed list is one.
_STARTS = re.compile(
    r"^((?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*+)"
    r"(?=\#{1,6}(?:\s|$)|>|```|~~~|<[a-zA-Z/]|\[[!^]|\[[^\]\n]{0,300}\]:|(?:\*\*|__).*(?:\*\*|__)$"
    r"|!!!|\?\?\?|:::|[=+]+$|(?=[|:-])[ |:]*-[ |:-]*$)",
    re.MULTILINE,
)
# What would be no text within one: links, pictures, comments, names of characters.
_SPANS = re.compile(r"(?<!\\)(?=\[[^\]\n]{0,300}\]\(|<[!?]|&#?\w+;)|(?<=!)(?=\[[^\]\n]{0,300}\]\[)")


class Block(NamedTuple):
    """A piece of Markdown, where it stands in its file, whether no empty line parts it from the one before, or it furnishes.

    A label furnishes, too, but what stands above it is no title of it.
    """

    text: str
    place: Mapping[str, Any]
    tight: bool = False
    furniture: bool = False
    label: bool = False


Places = tuple[tuple[int, Mapping[str, Any]], ...]


def composed(blocks: Iterable[Block]) -> tuple[str, Places]:
    """The text, and from which character on which place holds."""
    text: list[str] = []
    places: list[tuple[int, Mapping[str, Any]]] = []
    length = 0
    for block in blocks:
        if not block.text.strip():
            continue
        between = "" if not text else "\n" if block.tight else "\n\n"
        text += [between, block.text]
        length += len(between)
        if block.place and (not places or places[-1][1] != block.place):
            places.append((length, block.place))
        length += len(block.text)
    return "".join(text), tuple(places)


def furnished(blocks: Sequence[Block]) -> tuple[tuple[int, int, Kind], ...]:
    """The stretches of the composed text that furnish it; none where that is most of it, such as a page of links alone."""
    found: list[tuple[int, int, Kind]] = []
    length = 0
    for block in blocks:
        if block.text.strip():
            length += 0 if not length else 1 if block.tight else 2
            if block.furniture:
                found.append((length, length + len(block.text), "furniture"))
            length += len(block.text)
    return tuple(found) if sum(end - start for start, end, _ in found) < length / 2 else ()


def one_line(text: str) -> str:
    """The text with single spaces."""
    return re.sub(r"\s+", " ", text).strip()


def escaped(text: str) -> str:
    r"""Lines of text as Markdown that says them: they stay apart, and a backslash stands before what would be structure.

    >>> escaped("1889 - 1890\n# 1 in sales")
    '1889 - 1890  \n\\# 1 in sales'
    """
    lines = "\n".join(line.strip() for line in text.strip().split("\n"))
    return _STARTS.sub(r"\1\\", _escaped_inside(lines)).replace("\n", "  \n")


def _escaped_inside(text: str) -> str:
    return _SPANS.sub(r"\\", text)


def heading(text: str, level: int) -> str:
    """A heading, from level 1."""
    return f"{'#' * min(max(level, 1), 6)} {_escaped_inside(one_line(text))}" if text.strip() else ""


def indented(blocks: Iterable[Block], first: str, rest: str) -> list[Block]:
    """Blocks inside a list item or a quotation: `first` before their first line, `rest` before all others."""
    made = []
    for block in blocks:
        lines = block.text.split("\n")
        starts = [rest if made else first, *[rest] * (len(lines) - 1)]
        text = "\n".join(start + line if line.strip() else start.rstrip() for start, line in zip(starts, lines, strict=True))
        made.append(block._replace(text=text))
    return made


def _in_cell(text: str) -> str:
    return _escaped_inside(one_line(text)).replace("|", "\\|")


def table(rows: Sequence[Sequence[str]], header: bool) -> list[str]:
    """The lines of a table: its header (an empty one, where it has none), the rule, its rows."""
    wide = max((len(row) for row in rows), default=0)
    full = [[_in_cell(cell) for cell in [*row, *[""] * (wide - len(row))]] for row in rows]
    if not wide or not any(cell for row in full for cell in row):
        return []
    full = full if header else [[""] * wide, *full]
    lines = [f"| {' | '.join(row)} |" for row in full]
    return [lines[0], f"|{' --- |' * wide}", *lines[1:]]


def table_blocks(rows: Sequence[Sequence[str]], header: bool, places: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The same as blocks; `places` are those of the rows."""
    lines = table(rows, header)
    before = len(lines) - len(rows)  # lines that are no row of its own
    where = [places[0] if i <= before else places[i - before] for i in range(len(lines))] if lines else []
    return [Block(line, place, tight=i > 0) for i, (line, place) in enumerate(zip(lines, where, strict=True))]
