"""What pages leave in a plain text: running heads and page numbers, where they stand at the borders of pages and only there."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

import regex

from llmattr.text.split.blocks import SENTENCE_END, Line, is_blank, says_something

_PAGE = (
    r"(?:(?:page|seite|página|sivu|стр\.?|p\.)\s*)?(?P<number>\d{1,4})(?:\s*(?:/|of|von|de|sur|из)\s*\d{1,4})?(?:\s*\|\s*page)?"
)
_BETWEEN_MARKS = regex.compile(rf"\s*[-–—|\[]\s*{_PAGE}\s*[-–—|\]]\s*", regex.I)
_NUMBER = regex.compile(rf"\s*{_PAGE}\s*", regex.I)
_WITH_HEAD = regex.compile(r"\s*(?:\S.{0,70}?\S\s{3,}+[-–—|]?\s*(?P<number>\d{1,4})|(?P<number>\d{1,4})\s{3,}+\S.{0,70})\s*")
_BARE = regex.compile(r"[ /]*")  # without its digits
_SHORT = 100  # characters: a longer line is no running head


def running_heads(text: str, lines: Sequence[Line]) -> set[int]:
    """Where running heads and page numbers start: lines that blank lines part from all others.

    Form feeds show where pages end, and so do numbers that count up: with a head or marks (`- 3 -`, `Page 3`), or bare ones
    inside a sentence. Nothing else does: an answer that is a year, or one that is given again and again, is text.
    """
    said = [line for line in lines if says_something(line.text)]
    edge = "\f" if "\f" in text.strip() else "\n\n"
    gaps = [edge, *(text[above.end : below.start] for above, below in itertools.pairwise(said)), edge]
    alone = [k for k in range(len(said)) if is_blank(gaps[k]) and is_blank(gaps[k + 1])]
    borders = {k for k in alone if "\f" in gaps[k] + gaps[k + 1]}
    found = {k for k in borders if _number_of(said[k])} | _counting(said, alone) | _outer(said, alone)
    times = Counter(said[k].text.strip() for k in alone)
    heads = {k for k in alone if times[said[k].text.strip()] > 1 and len(said[k].text) < _SHORT}
    return {said[k].start for k in found | {k for k in heads if k in borders or k - 1 in found or k + 1 in found}}


def _number_of(line: Line) -> int | None:
    """The number of the page, where a line may be its foot or head."""
    for pattern in (_NUMBER, _BETWEEN_MARKS, _WITH_HEAD):
        if found := pattern.fullmatch(line.text):
            return int(found["number"])
    return None


def _counting(said: Sequence[Line], alone: Sequence[int]) -> set[int]:
    """Lines that are alike but for a number on either side, which counts up; left and right pages may have their own."""
    alike: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for k in alone:
        number = _number_of(said[k])
        if number is not None:
            alike[regex.sub(r"[\d\s]+", " ", said[k].text).strip()].append((k, number))
    found: set[int] = set()
    for shape, numbered in alike.items():
        pairs = [{a, b} for (a, first), (b, second) in itertools.pairwise(numbered) if second - first in (1, 2)]
        counted = set().union(*pairs)
        if not _BARE.fullmatch(shape) or any(_interrupts(said, k) for k in counted):
            found |= counted
    return found


def _interrupts(said: Sequence[Line], k: int) -> bool:
    """Whether the sentence before a line goes on behind it, or behind the head below it."""
    goes_on = any(line.text.lstrip()[:1].islower() for line in said[k + 1 : k + 3])
    return k > 0 and goes_on and not SENTENCE_END.search(said[k - 1].text)


def _outer(said: Sequence[Line], alone: Sequence[int]) -> set[int]:
    """The first or last line of a text that is one page, or the rest of one, where nothing else in it is set like this."""
    outer = {k for k in alone if k in (0, len(said) - 1)} if len(said) > 4 else set()
    with_head = [k for k, line in enumerate(said) if _WITH_HEAD.fullmatch(line.text)]
    return {k for k in outer if _BETWEEN_MARKS.fullmatch(said[k].text) or with_head == [k]}
