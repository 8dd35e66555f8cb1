"""Lines on pages: columns in order, running heads found, wrapped lines joined and hyphens at their ends undone."""

import itertools
import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

Places = tuple[tuple[int, dict[str, Any]], ...]

FULL = 0.65  # a line of this share of its column's width is taken to go on in the next
PROSE = 20  # characters of a line, on average, in a column of text; cells of tables are shorter
ROWS = 5  # rows that show where a column begins
_MARKER = re.compile(r"\s*(?:[-*•‣◦▪–—·]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s|\[\d{1,3}\]\s)")
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
    """The pieces of a page column by column, where it was written row by row across its columns; else as they are."""
    rows = [list(row) for row in _rows(pieces)]
    edge = _second_column(rows)
    if edge is None:
        return list(pieces)
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
    edge, _ = max(starts.items(), key=lambda item: (item[1], -item[0]))
    both = [row for row in rows if _left(row, edge) and _right(row, edge)]
    if len(both) < ROWS:
        return None
    shortest = min(statistics.mean(_length(side(row, edge)) for row in both) for side in (_left, _right))
    return edge if shortest >= PROSE else None


def joined(pieces: Sequence[Line]) -> list[Line]:
    """Whole lines: pieces that follow to the right on the same line are one."""
    lines: list[Line] = []
    last: Line | None = None
    for piece in pieces:
        if last is not None and piece.beside(last) and piece.x >= last.x:
            lines[-1] = lines[-1]._replace(text=lines[-1].text + piece.text, size=max(lines[-1].size, piece.size))
        else:
            lines.append(piece)
        last = piece
    return [line._replace(text=re.sub(r"\s+", " ", line.text).strip()) for line in lines]


def without_running_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages without what the top or foot of several of them says at the same height, but for its numbers.

    What is set larger than the text is a heading, and stays.
    """
    sizes = [line.size for lines in pages for line in lines for _ in range(len(line.text))]
    body = statistics.median(sizes) if sizes else 0.0
    edges = [{_furniture(line) for line in _edge(lines) if line.size <= 1.05 * body} for lines in pages]
    times = Counter(key for keys in edges for key in keys)
    enough = min(3, max(2, math.ceil(len(pages) / 3)))
    return [
        [line for line in lines if not (_furniture(line) in keys and times[_furniture(line)] >= enough)]
        for lines, keys in zip(pages, edges, strict=True)
    ]


def _furniture(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+", "#", line.text), round(line.y / 4)


def _edge(lines: Sequence[Line]) -> list[Line]:
    """The two highest and the two lowest lines, by where they stand."""
    heights = sorted({round(line.y) for line in lines})
    return [line for line in lines if round(line.y) in {*heights[:2], *heights[-2:]}]


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
    begins = _MARKER.match(line.text) or (line.x - last.x > 0.8 * line.size and not elsewhere and not _MARKER.match(last.text))
    ended = bool(_END.search(last.text))
    if near and full and last.alike(line) and not begins and not (elsewhere and ended and not line.text[:1].islower()):
        return _unhyphenated(last.text, line.text, known)
    paragraph = not near or not last.alike(line) or elsewhere or (bool(begins) and ended and not _MARKER.match(line.text))
    return last.text, "\n\n" if paragraph else "\n"


def _unhyphenated(last: str, line: str, known: Counter[str]) -> tuple[str, str]:
    """A word that was parted at the line's end whole again; one that has its hyphen elsewhere, too, keeps it."""
    parted = _HYPHEN.search(last)
    rest = re.match(r"\w+", line)
    if parted is None or rest is None or not rest[0][0].islower():
        return last, " " if not (parted and rest) else ""
    whole, compound = parted[1] + rest[0], f"{parted[1]}-{rest[0]}"
    kept = known[compound] > 0 and known[whole] == 0
    return last.rstrip() if kept else last[: parted.end(1)], ""
