"""Reads texts in which units were marked by hand (README.md beside this file has the marks and the rules)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmattr.errors import LlmattrError

Span = tuple[int, int]

MARKED = Path(__file__).parent / "marked"
BETWEEN = "⟪⟫\n"  # the line that separates texts
MARKS = {"⟦": "⟧", "⟪": "⟫"}


@dataclass(frozen=True)
class Marked:
    """A text without its marks, the spans that can be quoted, and those (headings ...) that cannot, both in order."""

    text: str
    units: list[Span]
    closed: list[Span]


def kinds(half: str) -> dict[str, list[Path]]:
    """The files of a half ("choose", "judge") by language or kind of document: `code-python` is one of `code`."""
    found: dict[str, list[Path]] = {}
    for path in sorted(MARKED.glob(f"*.{half}")):
        found.setdefault(path.stem.split("-")[0], []).append(path)
    return found


def read(path: Path) -> list[Marked]:
    """The texts of a file; raises `LlmattrError` with the line of a mark that is out of place."""
    texts = re.split(f"^{BETWEEN}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [parse(text, path.name) for text in texts]


def parse(marked: str, name: str = "text") -> Marked:
    """A text with marks, taken apart; raises `LlmattrError` as `read`.

    >>> parse("⟪# Title⟫ ⟦One.⟧ ⟦Two.⟧")
    Marked(text='# Title One. Two.', units=[(8, 12), (13, 17)], closed=[(0, 7)])
    """
    text, start, opened = "", 0, ""
    found: dict[str, list[Span]] = {mark: [] for mark in MARKS}
    for part in re.split(f"([{''.join([*MARKS, *MARKS.values()])}])", marked):
        if part in MARKS and not opened:
            start, opened = len(text), part
        elif opened and part == MARKS[opened]:
            if text[start:] != text[start:].strip() or start == len(text):
                raise LlmattrError(f"{name}: the unit {text[start:]!r} is empty, or begins or ends with white space")
            found[opened].append((start, len(text)))
            opened = ""
        elif part in (*MARKS, *MARKS.values()):
            raise LlmattrError(f"{name}: the mark {part} after {text[-30:]!r} is out of place")
        else:
            text += part
    if opened:
        raise LlmattrError(f"{name}: the unit {text[start:][:30]!r} has no end")
    return Marked(text, found["⟦"], found["⟪"])


def written(marked: Marked) -> str:
    """The text with its marks again."""
    spans = [(*span, mark) for mark, some in zip(MARKS, (marked.units, marked.closed), strict=True) for span in some]
    text, last = "", 0
    for start, end, mark in sorted(spans):
        text += marked.text[last:start] + mark + marked.text[start:end] + MARKS[mark]
        last = end
    return text + marked.text[last:]


def located(text: str, parts: Sequence[str]) -> list[Span]:
    """Where the parts, which come in the text's order, stand in it without white space around; what is not in it is left out.

    >>> located("One. Two.", ["One. ", "Two."])
    [(0, 4), (5, 9)]
    """
    spans, last = [], 0
    for part in map(str.strip, parts):
        start = text.find(part, last)
        if part and start >= 0:
            last = start + len(part)
            spans.append((start, last))
    return spans
