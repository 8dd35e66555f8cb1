"""Ask the model about the sources that a method cites: are they needed, do they suffice, does another say the same?"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import ask
from llmattr.context.removal.ablation import ContextAblation
from llmattr.core.attribution import Attribution
from llmattr.core.evidence import SHARE, Citation, Evidence, TargetEvidence, verdict_of

TRIED = 5  # sources of one target that are tried, at most

Values = dict[bytes, Float[np.ndarray, " t"]]


def verify(result: Attribution, ablation: ContextAblation) -> Evidence:
    """True ablations of what the result cites: 2 + 2 for each source that is tried, and a few sets of them.

    Of each target the cited sources are tried, best first, at most five; where a score has no error to stand clear of
    (similarities), the three best. Masks that the method has asked for already cost nothing.
    """
    tried = [_to_try(result, t) for t in range(len(result))]
    known = _Known(ablation)
    known.ask([(), known.everything, *_singles(tried, known), *_prefixes(tried)])
    pairs = [_alike(sources, t, known) for t, sources in enumerate(tried)]
    known.ask([known.without(*pair) for found in pairs for pair in found])
    full, empty = ablation.token_logprobs(np.stack([known.mask(known.everything), known.mask(())]))
    counts = ablation.token_counts
    targets = [_judge(result, t, tried[t], pairs[t], known, tokens=counts[t]) for t in range(len(result))]
    assert ablation.prompt.response_offsets is not None  # a prompt with a response has them
    return Evidence(tuple(targets), ablation.prompt.response_offsets, full, empty)


class _Known:
    """The targets' values under sets of sources, each asked for once."""

    def __init__(self, ablation: ContextAblation) -> None:
        self.ablation = ablation
        self.everything = tuple(range(len(ablation.sources)))
        self.values: dict[tuple[int, ...], Float[np.ndarray, " t"]] = {}

    def without(self, *sources: int) -> tuple[int, ...]:
        return tuple(i for i in self.everything if i not in sources)

    def mask(self, kept: Sequence[int]) -> Bool[np.ndarray, " n"]:
        mask = np.zeros(len(self.everything), dtype=bool)
        mask[list(kept)] = True
        return mask

    def ask(self, sets: Sequence[tuple[int, ...]]) -> None:
        """One call for all of them, so that the engine can share what they have in common."""
        new = [kept for kept in dict.fromkeys(sets) if kept not in self.values]
        if new:
            self.values.update(zip(new, ask(self.ablation, np.stack([self.mask(kept) for kept in new])), strict=True))

    def of(self, kept: tuple[int, ...], t: int) -> float:
        return float(self.values[kept][t])

    def necessity(self, t: int, *sources: int) -> float:
        return self.of(self.everything, t) - self.of(self.without(*sources), t)

    def sufficiency(self, t: int, *sources: int) -> float:
        return self.of(tuple(sorted(sources)), t) - self.of((), t)


def _to_try(result: Attribution, t: int) -> list[int]:
    scores = result[t].top(TRIED)
    if not result.can_cite:
        return [score.source for score in scores[:3] if score.score > 0]
    return [score.source for score in scores if score.cited]


def _singles(tried: list[list[int]], known: _Known) -> list[tuple[int, ...]]:
    sources = sorted({source for one in tried for source in one})
    return [kept for source in sources for kept in ((source,), known.without(source))]


def _prefixes(tried: list[list[int]]) -> list[tuple[int, ...]]:
    """The best source, the best two, the best three, ... of each target."""
    return [tuple(sorted(sources[:k])) for sources in tried for k in range(1, len(sources) + 1)]


def _alike(sources: list[int], t: int, known: _Known) -> list[tuple[int, int]]:
    """Pairs that may say the same: each gives much alone and is missed little."""
    support = known.necessity(t, *known.everything)
    candidates = [i for i in sources if known.sufficiency(t, i) >= max(support, 0.1) / 2]
    candidates = [i for i in candidates if known.necessity(t, i) < known.sufficiency(t, i) / 2]
    return list(itertools.combinations(candidates, 2))


def _judge(
    result: Attribution, t: int, sources: list[int], pairs: list[tuple[int, int]], known: _Known, *, tokens: float
) -> TargetEvidence:
    full, empty = known.of(known.everything, t), known.of((), t)
    opposing, opposed_by = _opposing(result, t)
    kept, share = _sufficient(sources, t, known)
    return TargetEvidence(
        full=full,
        empty=empty,
        verdict=verdict_of(full - empty, tokens, opposing),
        opposed_by=opposed_by,
        citations=tuple(Citation(i, known.necessity(t, i), known.sufficiency(t, i)) for i in sources),
        sufficient=kept,
        share=share,
        alternatives=tuple(pair for pair in pairs if _redundant(*pair, t, known)),
    )


def _opposing(result: Attribution, t: int) -> tuple[float, int | None]:
    """The strongest score against the target that stands clear of its error, as a size, and its source."""
    against = result.clear[t] & (result.values[t] < 0)
    if not against.any():
        return 0.0, None
    worst = int(np.where(against, result.values[t], np.inf).argmin())
    return -float(result.values[t, worst]), worst


def _sufficient(sources: list[int], t: int, known: _Known) -> tuple[tuple[int, ...], float | None]:
    """The shortest run of the best sources that alone gives `SHARE` of the support, and the share that it gives."""
    support = known.necessity(t, *known.everything)
    if not sources or support <= 0:
        return (), None
    shares = [known.sufficiency(t, *sources[:k]) / support for k in range(1, len(sources) + 1)]
    enough = next((k for k, share in enumerate(shares) if share >= SHARE), len(sources) - 1)
    return tuple(sources[: enough + 1]), shares[enough]


def _redundant(one: int, other: int, t: int, known: _Known) -> bool:
    """Without both far more is lost than without each: `N(i, j) - N(i) - N(j) >= min(S(i), S(j)) / 2`."""
    extra = known.necessity(t, one, other) - known.necessity(t, one) - known.necessity(t, other)
    return extra >= min(known.sufficiency(t, one), known.sufficiency(t, other)) / 2
