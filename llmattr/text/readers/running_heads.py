"""Running heads and page numbers: what stands apart at the top or foot of several pages."""

import itertools
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence

from llmattr.text.readers.lines import Line

APART = 1.4  # of the step between lines: what stands so far from the text is no line of it
_NUMBER = re.compile(r"^\d+\b|\b\d+$")


def without_running_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages without what stands apart at the top or foot of several of them at the same height, alike but for its numbers.

    Two pages are enough where the number counts them. What is set larger than the text is a heading, and stays.
    """
    sizes = [line.size for lines in pages for line in lines for _ in range(len(line.text))]
    body = statistics.median(sizes) if sizes else 0.0
    edges = [{_shape(line): line for line in _edge(lines, body)} for lines in pages]
    seen: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for number, edge in enumerate(edges):
        for shape, line in edge.items():
            seen[shape].append((number, line.text))
    enough = min(3, max(2, math.ceil(len(pages) / 3)))
    heads = {shape for shape, texts in seen.items() if len(texts) >= enough or _counts(texts)}
    return [
        [line for line in lines if not (_shape(line) in edge and _shape(line) in heads)]
        for lines, edge in zip(pages, edges, strict=True)
    ]


def _shape(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+", "#", line.text), round(line.y / 4)


def _counts(texts: Sequence[tuple[int, str]]) -> bool:
    """Whether the number at the edge of a line grows from page to page as those do."""
    found = [(page, int(number[0])) for page, text in texts if (number := _NUMBER.search(text))]
    return any(after - before == b - a for (a, before), (b, after) in itertools.pairwise(found))


def _edge(lines: Sequence[Line], body: float) -> list[Line]:
    """Of the two highest and the two lowest lines, by where they stand, those apart from the text or in smaller letters."""
    heights = sorted({round(line.y) for line in lines})
    step = statistics.median(above - below for below, above in itertools.pairwise(heights)) if len(heights) > 4 else 0.0
    apart: set[int] = set()
    for side in (heights[:3], heights[:-4:-1]):
        gaps = [abs(a - b) for a, b in itertools.pairwise(side)]
        apart |= set(side[: 1 + max((k for k, gap in enumerate(gaps) if gap > APART * step), default=-1)])
    outer = {*heights[:2], *heights[-2:]}
    return [
        line for line in lines
        if line.size <= 1.05 * body and round(line.y) in (outer if line.size < 0.95 * body else apart)
    ]  # fmt: skip
