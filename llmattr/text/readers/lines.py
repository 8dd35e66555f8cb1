"""Lines on pages: columns in order, pieces that stand on one line, and cells that stand below one another."""

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

WIDE = 0.6  # a line of this share of the page's width goes over all of it: there are no columns
PROSE = 20  # characters of a line, on average, in a column of text; cells of tables are shorter
LETTER = 0.6  # of its height: how wide one is at most, on average
CELL = 2.0  # letters' heights between cells of a row, at least
ROWS = 5  # rows that show where a column begins
NEAR = 1.5  # of its letters' height: how far below the one before a line of the same heading stands, at most
SHORT = 30  # characters of a cell, on average
MARGIN = 5.0  # of its height: how far before its text the marker of an item stands, at most
_LEADER = re.compile(r"\s*(?:\.\s*){3,}\w*\s*")  # to the number of a page
_LOOSE = re.compile(rf"\s*(?:[-*•‣◦▪–—·]|\(?\d{{1,3}}[.)])\s*|{_LEADER.pattern}")  # or a marker


class Line(NamedTuple):
    """A line, or a piece of one, with where it starts on the page (in points, from below) and how large its letters are."""

    text: str
    x: float
    y: float
    size: float
    bold: bool = False
    mono: bool = False  # all letters are of one width

    def beside(self, other: "Line") -> bool:
        """Whether both stand on one line."""
        return abs(self.y - other.y) < 0.4 * max(self.size, other.size, 1)

    def alike(self, other: "Line") -> bool:
        """Whether both are set in letters of one size."""
        return abs(self.size - other.size) <= 0.08 * max(self.size, other.size)

    def is_near(self, above: "Line") -> bool:
        """Whether it stands right below the other, on the same page."""
        return 0 < above.y - self.y <= NEAR * self.size


def in_columns(pieces: Sequence[Line]) -> list[Line]:
    """The pieces of a page in the order of reading.

    What was written row by row across two columns is parted at the second one's edge. Where lines go over the whole page,
    the order is from above and from the left; else it is that in which the pieces were written.
    """
    rows = _rows(pieces)
    edge = _second_column(rows)
    if edge is None:
        return _from_above(pieces) if _has_one_column(pieces) else list(pieces)
    left_width = statistics.median(_length(_left(row, edge)) for row in rows if _right(row, edge))
    ordered: list[Line] = []
    band: list[list[Line]] = []
    for row in [*rows, []]:
        across = not row or (not _right(row, edge) and _length(row) > 1.3 * left_width)
        if across:  # what stands over both columns parts those above from those below
            ordered += [piece for one in band for piece in _left(one, edge)]
            ordered += in_columns([piece for one in band for piece in _right(one, edge)])
            ordered += row
            band = []
        else:
            band.append(row)
    return ordered


def _has_one_column(pieces: Sequence[Line]) -> bool:
    """Whether half of the text or more is in lines about as wide as the page's; a letter is taken for half as wide as high."""
    widths = [(_length(row), sum(len(piece.text) * piece.size / 2 for piece in row)) for row in _rows(pieces)]
    ends = [piece.x + len(piece.text) * piece.size / 2 for piece in pieces]
    page = max(ends, default=0) - min((piece.x for piece in pieces), default=0)
    return sum(length for length, width in widths if width > WIDE * page) >= _length(pieces) / 2


def _from_above(pieces: Sequence[Line]) -> list[Line]:
    """Rows from above, each from the left; a space between pieces that were not written one after the other."""
    numbered = sorted(enumerate(pieces), key=lambda one: -one[1].y)
    rows: list[list[tuple[int, Line]]] = []
    for number, piece in numbered:
        if rows and piece.beside(rows[-1][0][1]):
            rows[-1].append((number, piece))
        else:
            rows.append([(number, piece)])
    ordered: list[Line] = []
    last = -1
    for number, piece in (one for row in rows for one in sorted(row, key=lambda one: (one[1].x, one[0]))):
        follows = number == last + 1 or piece.text[0] in ",.;:)"
        ordered.append(piece if follows else piece._replace(text=f" {piece.text}"))
        last = number
    return ordered


def _rows(pieces: Sequence[Line]) -> list[list[Line]]:
    """Pieces that follow one another on one line."""
    rows: list[list[Line]] = []
    for piece in pieces:
        if rows and piece.beside(rows[-1][-1]):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return rows


def _left(row: list[Line], edge: float) -> list[Line]:
    return [piece for piece in row if piece.x < edge - 2]


def _right(row: list[Line], edge: float) -> list[Line]:
    return [piece for piece in row if piece.x >= edge - 2]


def _length(row: Sequence[Line]) -> int:
    return sum(len(piece.text) for piece in row)


def _second_column(rows: list[list[Line]]) -> float | None:
    """Where the second column begins: pieces of many rows start there, with text on both sides of it."""
    starts = Counter(round(piece.x) for row in rows for piece in row[1:] if len(piece.text) >= PROSE)
    if not starts:
        return None
    edge = float(max(starts, key=lambda start: (starts[start], -start)))
    both = [row for row in rows if _left(row, edge) and any(abs(piece.x - edge) < 2 for piece in row[1:])]
    if len(both) < ROWS:
        return None
    shortest = min(statistics.mean(_length(side(row, edge)) for row in both) for side in (_left, _right))
    return edge if shortest >= PROSE else None


def joined(pieces: Sequence[Line]) -> list[Line]:
    """Whole lines: pieces that follow to the right on the same line are one."""
    lines: list[list[Line]] = []
    for piece in pieces:
        if lines and piece.beside(lines[-1][-1]) and piece.x >= lines[-1][-1].x:
            lines[-1].append(piece)
        elif row := _row_of(piece, lines):
            row.append(piece._replace(text=f" {piece.text} "))
        else:
            lines.append([piece])
    rows = [sorted(line, key=lambda piece: piece.x) for line in lines]
    cells = [False, *itertools.starmap(_in_cells, itertools.pairwise(rows)), False]
    return [_whole(row, above or below) for row, above, below in zip(rows, cells, cells[1:], strict=False)]


def _row_of(piece: Line, lines: Sequence[list[Line]]) -> list[Line] | None:
    """The line that this belongs to, where it or that one is loose: a list's markers and their texts may be drawn apart."""
    loose = bool(_LOOSE.fullmatch(piece.text))
    rows = (row for row in reversed(lines) if row[0].beside(piece) and _marks(*sorted([piece, row[0]], key=lambda one: one.x)))
    return next((row for row in rows if len(row) == 1 or loose), None)


def _marks(left: Line, right: Line) -> bool:
    """Whether one of two pieces is the marker of the other, right before it, or leads to it or from it."""
    led = _LEADER.fullmatch(left.text) or _LEADER.fullmatch(right.text)
    return bool(led) or (bool(_LOOSE.fullmatch(left.text)) and right.x - left.x < MARGIN * right.size)


def _in_cells(above: Sequence[Line], below: Sequence[Line]) -> bool:
    """Whether two rows have as many short pieces, those behind the first below one another."""
    if len(above) != len(below) or len(above) < 2 or _LOOSE.fullmatch(below[0].text):
        return False
    aligned = all(abs(a.x - b.x) <= b.size / 4 for a, b in zip(above[1:], below[1:], strict=True))
    apart = all(a.x + a.size < b.x for row in (above, below) for a, b in itertools.pairwise(row))
    short = max(_length(above), _length(below)) <= SHORT * len(above)
    return aligned and apart and short and above[0].y > below[0].y


def _whole(pieces: Sequence[Line], cells: bool) -> Line:
    """A line of its pieces; a tab stands between cells, and where they are so far apart as those of a table are."""
    mono = all(piece.mono for piece in pieces)
    text = pieces[0].text
    for piece, after in itertools.pairwise(pieces):
        end = piece.x + len(piece.text.rstrip()) * LETTER * piece.size
        apart = cells or after.x - end > CELL * after.size
        loose = _LOOSE.fullmatch(text) or _LOOSE.fullmatch(after.text)
        text += "\t" * (apart and not loose and not mono) + after.text
    text = text.rstrip() if mono else "\t".join(re.sub(r"\s+", " ", cell).strip() for cell in text.split("\t") if cell.strip())
    largest = max(piece.size for piece in pieces)
    return Line(text, pieces[0].x, pieces[0].y, largest, all(piece.bold for piece in pieces), mono)
