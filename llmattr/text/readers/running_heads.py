"""Running heads and page numbers: what stands apart at the top or foot of several pages."""

import itertools
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence

from llmattr.text.readers.lines import Line

SMALL = 0.95  # of the text's size
APART = 1.4  # of the step between lines: what stands so far from the text is no line of it
_NUMBER = re.compile(r"^\d+\b|\b\d+$")
_SET_APART = re.compile(r"(?:^|.*\t)(\d+)$|^(\d+)\t")  # a number alone, or at the other margin
_OF_FRONT = re.compile(r"[ivxlc]{1,7}")


def without_running_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages without what stands apart at the top or foot of several of them at the same height, alike but for its numbers.

    Two pages are enough where the number counts them. Nor with numbers of pages, alone or at the other margin, whatever is
    beside them, and what stands in smaller letters over every page. What is set larger than the text is a heading, and stays.
    """
    sizes = [line.size for lines in pages for line in lines for _ in range(len(line.text))]
    body = statistics.median(sizes) if sizes else 0.0
    edges = [_edge(lines, body) for lines in pages]
    heads = _alike(edges) | _numbered(edges) | {(page, line) for page, edge in enumerate(edges) for line in _bars(edge, body)}
    tops = [max(lines, key=lambda line: line.y, default=None) for lines in edges]
    if len(pages) > 1 and len({top and round(top.y / 4) for top in tops}) == 1:
        heads |= {(page, top) for page, top in enumerate(tops) if top and top.size < SMALL * body}
    return [[line for line in lines if (page, line) not in heads] for page, lines in enumerate(pages)]


def _alike(edges: Sequence[Sequence[Line]]) -> set[tuple[int, Line]]:
    seen: dict[tuple[str, int], list[tuple[int, Line]]] = defaultdict(list)
    for page, edge in enumerate(edges):
        for line in {_shape(line): line for line in edge}.values():
            seen[_shape(line)].append((page, line))
    enough = min(3, max(2, math.ceil(len(edges) / 3)))
    shapes = {shape for shape, found in seen.items() if len(found) >= enough or _counts(found)}
    return {(page, line) for page, edge in enumerate(edges) for line in edge if _shape(line) in shapes}


def _shape(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+", "#", line.text), round(line.y / 4)


def _counts(found: Sequence[tuple[int, Line]]) -> bool:
    """Whether the number at the edge of a line grows from page to page as those do."""
    numbers = [(page, int(number[0])) for page, line in found if (number := _NUMBER.search(line.text))]
    return any(after - before == b - a for (a, before), (b, after) in itertools.pairwise(numbers))


def _numbered(edges: Sequence[Sequence[Line]]) -> set[tuple[int, Line]]:
    """Lines with the number of their page, which is roman before the text begins, is said of how many, or counts on."""
    numbers: dict[int, list[tuple[int, Line]]] = defaultdict(list)
    heads = set()
    for page, edge in enumerate(edges):
        for line in edge:
            if found := _SET_APART.match(line.text):
                numbers[int(found[1] or found[2]) - page].append((page, line))
            last = re.sub(r"\s*(?:/|of)\s*", "/", line.text.rpartition("\t")[2])
            if _OF_FRONT.fullmatch(line.text) or last.endswith(f"{page + 1}/{len(edges)}"):
                heads.add((page, line))
    return heads.union(*(found for found in numbers.values() if len({page for page, _ in found}) > 1))


def _bars(edge: Sequence[Line], body: float) -> list[Line]:
    """Small letters at both margins; more than one such line at an end of the page are rows of a table."""
    both = [line for line in edge if line.size < SMALL * body and "\t" in line.text]
    return both if len(both) == len({line.y > both[0].y - 10 * line.size for line in both}) else []


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
        if line.size <= 1.05 * body and round(line.y) in (outer if line.size < SMALL * body else apart)
    ]  # fmt: skip
