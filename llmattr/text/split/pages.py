"""What pages leave in a plain text: running heads and page numbers, where they stand at the borders of pages and only there."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence, Set

import regex

from llmattr.text.split.blocks import ASKS, SENTENCE_END, Line, is_blank, says_something

_PAGE = (
    r"(?:(?:page|seite|página|sivu|стр\.?|p\.)\s*)?(?P<number>\d{1,4})(?:\s*(?:/|of|von|de|sur|из)\s*\d{1,4})?(?:\s*\|\s*page)?"
)
_BETWEEN_MARKS = regex.compile(rf"\s*[-–—|]\s*{_PAGE}\s*[-–—|]\s*", regex.I)
_NUMBER = regex.compile(rf"\s*{_PAGE}\s*", regex.I)
_WITH_HEAD = regex.compile(r"\s*(?:\S.{0,70}?\S\s{3,}+[-–—|]?\s*(?P<number>\d{1,4})|(?P<number>\d{1,4})\s{3,}+\S.{0,70})\s*")
_OF_ALL = regex.compile(
    r"\s*(?:page|seite|página|sivu|стр\.?)\s+\d+\s*(?:/|of|von|de|sur|из)\s*\d+\s*", regex.I
)  # needs no other
_MANUAL = regex.compile(
    r"(?P<page>\S+\(\d\w*\))\s{2,}\S.*\s{2,}(?P=page)\s*"
)  # "LS(1)    User Commands    LS(1)", and so its foot ends
_FOOT = regex.compile(r"\s*\S.*\s{2,}(?P<page>\S+)\s*")
_BARE = regex.compile(r"[ /]*")  # without its digits
_SHORT = 100  # characters: a longer line is no running head
_WRAPPED = 30  # characters: a line that is shorter was not wrapped
_FULL = 0.85  # of the widest line: a head is as wide as what it stands over


def running_heads(text: str, lines: Sequence[Line]) -> set[int]:
    """Where running heads and page numbers start: lines that blank lines part from all others.

    Form feeds show where pages end, and so do numbers that count up: with a head or marks (`- 3 -`, `Page 3`), or bare ones
    inside a sentence that was wrapped there. Nothing else does: an answer that is a year, or one that is given again and again,
    is text, and so is all that a page says.
    """
    said = [line for line in lines if says_something(line.text)]
    edge = "\f" if "\f" in text.strip() else "\n\n"
    gaps = [edge, *(text[above.end : below.start] for above, below in itertools.pairwise(said)), edge]
    asked = {k for k in range(1, len(said)) if ASKS.search(said[k - 1].text)}
    alone = [k for k in range(len(said)) if is_blank(gaps[k]) and is_blank(gaps[k + 1]) and k not in asked]
    borders = {k for k in alone if "\f" in gaps[k] + gaps[k + 1]}
    times = Counter(said[k].text.strip() for k in alone)
    heads = {k for k in alone if times[said[k].text.strip()] > 1 and len(said[k].text) < _SHORT}
    found = {k for k in borders if _number_of(said[k])} | _counting(said, alone, heads) | _outer(said, alone)
    found |= {k for k in alone if _OF_ALL.fullmatch(said[k].text)}
    found |= {k for k in heads if k in borders or k - 1 in found or k + 1 in found}
    begins = [0, *(k for k in range(1, len(said)) if "\f" in gaps[k]), len(said)]
    found |= _of_manual(said)
    pages = itertools.starmap(range, itertools.pairwise(begins))
    return {said[k].start for page in pages if not found.issuperset(page) for k in found.intersection(page)}


def _number_of(line: Line) -> int | None:
    """The number of the page, where a line may be its foot or head."""
    for pattern in (_NUMBER, _BETWEEN_MARKS, _WITH_HEAD):
        if found := pattern.fullmatch(line.text):
            return int(found["number"])
    return None


def _counting(said: Sequence[Line], alone: Sequence[int], heads: Set[int]) -> set[int]:
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
        if not _BARE.fullmatch(shape) or any(_interrupts(said, k, heads) for k in counted):
            found |= counted
    return found


def _interrupts(said: Sequence[Line], k: int, heads: Set[int]) -> bool:
    """Whether the line before a line, which was wrapped or has a head below it, goes on behind it."""
    goes_on = any(line.text.lstrip()[:1].islower() for line in said[k + 1 : k + 3])
    between = k > 0 and (len(said[k - 1].text) >= _WRAPPED or bool({k - 1, k + 1} & heads))
    return between and goes_on and not SENTENCE_END.search(said[k - 1].text)


def _of_manual(said: Sequence[Line]) -> set[int]:
    """The heads and feet of a page of a manual, at its ends or, of several, side by side."""
    named = {k: head["page"] for k, line in enumerate(said) if (head := _MANUAL.fullmatch(line.text))}
    pages = set(named.values())
    feet = {k for k in range(len(said)) if k + 1 in named or k + 1 == len(said)} if named else set[int]()
    return set(named) | {k for k in feet if (foot := _FOOT.fullmatch(said[k].text)) and foot["page"] in pages}


def _outer(said: Sequence[Line], alone: Sequence[int]) -> set[int]:
    """The first or last line of a page of wrapped text, or the rest of one: as wide as it, where no other is so."""
    width = max((len(line.text) for line in said), default=0)
    wide = {k for k, line in enumerate(said) if _WITH_HEAD.fullmatch(line.text) and len(line.text) >= _FULL * width}
    outer = {0, len(said) - 1}.intersection(alone) if width >= _WRAPPED and len(said) > 4 else set()
    marked = {k for k in outer if _BETWEEN_MARKS.fullmatch(said[k].text)}
    return marked | (wide & outer if len(wide) == 1 else set())
