"""Which targets are sentences; the numbers [1], [2], ... that their cited sources carry in every report; texts in pieces."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from llmattr.core.attribution import Attribution, Score, sentence_rows

Spans = Int[np.ndarray, "n 2"] | Sequence[tuple[int, int]]  # characters
Piece = tuple[str, int | None]  # a stretch of a text, and the number of the source or target that it is


def citation_numbers(attribution: Attribution, top: int | None = None) -> dict[int, int]:
    """Source number -> its mark, 1-based: the cited sources in order of first appearance over the sentence targets.

    Within a sentence the best source comes first. The numbers are the same in every report: those with few sources a sentence
    leave numbers out. Second hops and sources that contradict a sentence come behind. `top`: the best of each sentence (None =
    all).
    """
    if not attribution.can_cite:
        return {}
    rows = sentence_rows(attribution)
    sentences = attribution[rows.start : rows.stop]
    numbers = dict.fromkeys(score.source for score in sentences.top(None) if score.cited)
    shown = {score.source for score in sentences.top(top) if score.cited}
    evidence = sentences.evidence.targets if sentences.evidence else ()
    beside = [*(one.second_hop for one in evidence), *(one.contradicting for one in evidence)]
    numbers |= dict.fromkeys(source for source in beside if source is not None)
    return {source: mark for mark, source in enumerate(numbers, 1) if source in shown or source in beside}


def marked(attribution: Attribution, row: int, top: int | None = None) -> list[Score]:
    """What has its mark behind a sentence: the best that it cites, and its second hop."""
    scores = attribution[row].top(None)
    hop = attribution.evidence.targets[row].second_hop if attribution.evidence else None
    cited = [score for score in scores[:top] if score.cited]
    return cited + [score for score in scores if score.source == hop]


def cut(text: str, numbers: Iterable[int], spans: Spans) -> tuple[list[Piece], list[int]]:
    """The text in pieces, losing nothing, and the numbers whose spans overlap one before them and so have no piece."""
    pieces: list[Piece] = []
    loose, end = [], 0
    for start, stop, number in sorted((*map(int, spans[number]), number) for number in numbers):
        if not end <= start < stop <= len(text):
            loose.append(number)
            continue
        pieces += [(text[end:start], None), (text[start:stop], number)]
        end = stop
    return [piece for piece in (*pieces, (text[end:], None)) if piece[0]], loose
