"""Which targets are sentences, and the numbers [1], [2], ... that their cited sources carry in every report."""

from llmattr.types import Attribution


def sentence_rows(attribution: Attribution) -> range:
    """The rows of the sentence targets: all but target 0 when that is the whole response and there are others."""
    spans, response = attribution.targets.spans, attribution.response
    if spans is None or response is None or len(attribution) < 2:
        return range(len(attribution))
    whole = response[slice(*spans[0])].strip() == response.strip()
    return range(1 if whole else 0, len(attribution))


def citation_numbers(attribution: Attribution, top: int | None = None) -> dict[int, int]:
    """Source number -> its mark, 1-based: the cited sources in order of first appearance over the sentence targets.

    Within a sentence the best source comes first; only the `top` best of each sentence count (None = all).
    """
    rows = sentence_rows(attribution)
    scores = attribution[rows.start : rows.stop].top(top)
    cited = dict.fromkeys(score.source for score in scores if score.cited)
    return {source: mark for mark, source in enumerate(cited, 1)}
