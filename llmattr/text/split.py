"""Cut a text into parts, losing nothing: the parts joined are the text, for any Unicode."""

import itertools
import re
from collections.abc import Callable

import numpy as np
import regex
from jaxtyping import Int

from llmattr.errors import LlmattrError, did_you_mean

Splitter = Callable[[str], list[str]]

# A line that opens a list item, heading, table row or quote: the line break before it ends a part.
_MARKER = re.compile(r"\s*(?:[-*+•#|>]|\d{1,3}[.)]\s)")
_SENTENCE_END = re.compile(r"[.!?:;。！？…][\"'”’»)\]]*\s*$")
_WRAPPED_LINE = 40  # a line at least this long that ends in mid-sentence is taken to go on in the next line


def sentences(text: str) -> list[str]:
    """Sentences with the white space behind them, for some 300 languages (sentencex, Wikimedia).

    A line break ends a sentence (headings, lists, verse), unless the line looks wrapped: 40 characters or more, no sentence
    end, and no list item, heading or table row in the next line.
    """
    return [part for block in _unwrapped_lines(text) for part in _segment(block)]


def _segment(text: str) -> list[str]:
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]  # compiled

    # sentencex 1.0.32 fails on a full stop before a no-break space, so it sees plain spaces and the text is cut alike.
    plain = re.sub(r"[^\S\x00-\x7f]", " ", text)
    ends = itertools.accumulate(len(part) for part in segment("en", plain))
    return [text[start:end] for start, end in itertools.pairwise([0, *ends])]


def _unwrapped_lines(text: str) -> list[str]:
    blocks: list[str] = []
    goes_on = False
    for line in text.splitlines(keepends=True):
        if goes_on and line.strip() and not _MARKER.match(line):
            blocks[-1] += line
        else:
            blocks.append(line)
        goes_on = len(line.strip()) >= _WRAPPED_LINE and not _SENTENCE_END.search(line) and not _MARKER.match(line)
    return blocks


def paragraphs(text: str) -> list[str]:
    """Runs of lines with the blank lines behind them."""
    return [part for part in regex.split(r"(?<=\n\s*\n\s*)(?=\S)", text) if part]


def words(text: str) -> list[str]:
    """Words with their punctuation and the white space behind them; scripts without spaces by the Unicode rules (UAX 29)."""
    return [part for part in regex.split(r"(?w)(?<=\s)(?=\S)|(?<=[\w。，、！？])\b(?=\w)", text) if part]


def documents(text: str) -> list[str]:
    """The whole text as one part."""
    return [text] if text else []


SPLITTERS: dict[str, Splitter] = {
    "documents": documents,
    "paragraphs": paragraphs,
    "sentences": sentences,
    "words": words,
}


def find_splitter(sources: str | Splitter) -> tuple[str, Splitter]:
    """The name and the function of a kind of source; a function of the user's own is called by its name."""
    if callable(sources):
        return getattr(sources, "__name__", "parts"), sources
    if not isinstance(sources, str) or sources not in SPLITTERS:
        known = ", ".join(SPLITTERS)
        raise LlmattrError(f"unknown sources {sources!r}{did_you_mean(str(sources), SPLITTERS)} (there are: {known})")
    return sources, SPLITTERS[sources]


def spans(text: str, splitter: Splitter) -> Int[np.ndarray, "n 2"]:
    """Where the splitter's parts lie in the text, without the white space around them; parts of only white space are left out.

    The parts must come in order; text between them belongs to no source and is never removed. Raises `LlmattrError` for a part
    that is not there.
    """
    found, end = [], 0
    for number, part in enumerate(splitter(text), 1):
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
