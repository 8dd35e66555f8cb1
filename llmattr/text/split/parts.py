"""Splitters: functions text -> parts; the parts of those that are here, joined, are the text."""

from collections.abc import Callable, Iterable

import numpy as np
import regex
from jaxtyping import Int

from llmattr.errors import LlmattrError

Splitter = Callable[[str], list[str]]


def paragraphs(text: str) -> list[str]:
    """Runs of lines with the blank lines behind them."""
    return [part for part in regex.split(r"(?<=\n\s*\n\s*)(?=\S)", text) if part]


def words(text: str) -> list[str]:
    """Words with their punctuation and the white space behind them; scripts without spaces by the Unicode rules (UAX 29)."""
    return [part for part in regex.split(r"(?w)(?<=\s)(?=\S)|(?<=[\w。，、！？])\b(?=\w)", text) if part]


def documents(text: str) -> list[str]:
    """The whole text as one part."""
    return [text] if text else []


def spans(text: str, splitter: Splitter) -> Int[np.ndarray, "n 2"]:
    """Where the splitter's parts lie in the text, without the white space around them; parts of only white space are left out.

    The parts must come in order; text between them belongs to no source and is never removed. Raises `LlmattrError` for a part
    that is not there.
    """
    found, end = [], 0
    parts = splitter(text)
    if not isinstance(parts, Iterable):
        raise LlmattrError(f"a splitter gives a list of the parts of a text, not {parts!r:.60}")
    for number, part in enumerate(parts, 1):
        if not isinstance(part, str):
            raise LlmattrError(f"part {number} of the splitter is no text but {part!r:.60}")
        if not part.strip():
            continue
        start = text.find(part.strip(), end)
        if start < 0:
            raise LlmattrError(f"part {number} of the splitter, {part[:60]!r}, is not in the text after part {number - 1}")
        end = start + len(part.strip())
        found.append((start, end))
    return np.array(found, dtype=int).reshape(-1, 2)
