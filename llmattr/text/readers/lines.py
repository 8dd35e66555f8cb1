"""Lines on pages: columns in order, wrapped lines joined and hyphens at their ends undone."""

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

Places = tuple[tuple[int, dict[str, Any]], ...]

FULL = 0.65  # a line of this share of its column's width is taken to go on in the next
WIDE = 0.6  # a line of this share of the page's width goes over all of it: there are no columns
PROSE = 20  # characters of a line, on average, in a column of text; cells of tables are shorter
LETTER = 0.6  # of its height: how wide one is at most, on average
CELL = 2.0  # letters' heights between cells of a row, at least
ROWS = 5  # rows that show where a column begins
_MARKER = re.compile(r"\s*(?:[-*•‣◦▪–—·]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s|\[\d{1,3}\]\s|\d+(?:\.\d+)+\.?\s)")
_LOOSE = re.compile(r"\s*(?:[-*•‣◦▪–—·]|\(?\d{1,3}[.)]|(?:\.\s*){3,}\w*)\s*")  # a marker, or what leads to a page's number
_END = re.compile(r"[.!?:;。！？…][\"'”’»)\]]*\s*$")
_HYPHEN = re.compile(r"(\w+)[-\u2010\u00ad]\s*$")
_WORD = re.compile(r"\w+(?:[-\u2010]\w+)*")


class Line(NamedTuple):
    """A line, or a piece of one, with where it starts on the page (in points, from below) and how large its letters are."""

    text: str
    x: float
    y: float
    size: float

    def beside(self, other: "Line") -> bool:
        """Whether both stand on one line."""
        return abs(self.y - other.y) < 0.4 * max(self.size, other.size, 1)

    def alike(self, other: "Line") -> bool:
        """Whether both are set in letters of one size."""
        return abs(self.size - other.size) <= 0.08 * max(self.size, other.size)


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
    return [_whole(sorted(line, key=lambda piece: piece.x)) for line in lines]


def _row_of(piece: Line, lines: Sequence[list[Line]]) -> list[Line] | None:
    """The line that this belongs to, where it or that one is loose: a list's markers and their texts may be drawn apart."""
    loose = bool(_LOOSE.fullmatch(piece.text))
    rows = (row for row in reversed(lines) if row[0].beside(piece) and (loose or _LOOSE.fullmatch(row[0].text)))
    return next((row for row in rows if len(row) == 1 or loose), None)


def _whole(pieces: Sequence[Line]) -> Line:
    """A line of its pieces; a tab stands where they are so far apart as cells of a table are."""
    text = pieces[0].text
    for piece, after in itertools.pairwise(pieces):
        end = piece.x + len(piece.text.rstrip()) * LETTER * piece.size
        apart = after.x - end > CELL * after.size and not _LOOSE.fullmatch(text) and not _LOOSE.fullmatch(after.text)
        text += "\t" * apart + after.text
    text = "\t".join(re.sub(r"\s+", " ", cell).strip() for cell in text.split("\t") if cell.strip())
    return pieces[0]._replace(text=text, size=max(piece.size for piece in pieces))


def flowing(pages: Sequence[Sequence[Line]]) -> tuple[str, Places]:
    """The text of all pages, paragraphs with an empty line between them, and at which character each page begins."""
    known = Counter(word for lines in pages for line in lines for word in _WORD.findall(line.text))
    text = ""
    parts: list[str] = []
    places: list[tuple[int, dict[str, Any]]] = []
    length = 0
    last: Line | None = None
    full = False  # whether the last line fills its column
    for number, lines in enumerate(pages, 1):
        step = _step(lines)
        for i, line in enumerate(lines):
            if last is not None:
                text, between = _joint(last, line, step if i else None, full, known)
                parts += [text, between]
                length += len(text) + len(between)
            if i == 0:
                places.append((length, {"page": number}))
            last, full = line, _is_full(line, lines)
    return "".join([*parts, last.text if last else ""]), tuple(places)


def _step(lines: Sequence[Line]) -> float:
    """How far a line stands below the one before, as a rule."""
    steps = [above.y - below.y for above, below in itertools.pairwise(lines) if above.alike(below) and above.y > below.y]
    return statistics.median(steps) if steps else 0.0


def _is_full(line: Line, lines: Sequence[Line]) -> bool:
    """Whether a line is about as long as those that start where it does."""
    column = sorted(len(other.text) for other in lines if other.alike(line) and abs(other.x - line.x) < 3 * line.size)
    return len(column) > 2 and len(line.text) >= FULL * column[len(column) * 9 // 10]


def _joint(last: Line, line: Line, step: float | None, full: bool, known: Counter[str]) -> tuple[str, str]:
    """The last line as it is written before this one, and what stands between them; `step` is None over a page's end."""
    down = last.y - line.y
    elsewhere = step is None or down <= 0  # on the next page, or at the top of the next column
    near = elsewhere or (step is not None and down <= 1.3 * step)
    ended, lower = bool(_END.search(last.text)), line.text[:1].islower()
    marked = bool(_MARKER.match(line.text))
    indented = line.x - last.x > 0.8 * line.size and not elsewhere and not _MARKER.match(last.text)
    if "\t" in last.text or "\t" in line.text:  # cells of a row
        return last.text, "\n" if "\t" in last.text and "\t" in line.text and not elsewhere else "\n\n"
    goes_on = full or (lower and bool(_HYPHEN.search(last.text)))
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
