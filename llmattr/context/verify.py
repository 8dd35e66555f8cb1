"""Ask the model about the sources that a method cites: are they needed, do they suffice, does another say the same?"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from llmattr.ablation import ask
from llmattr.context.entailing import entailed
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.signs import Reading
from llmattr.core.attribution import Attribution
from llmattr.core.citing import Score
from llmattr.core.evidence import CITING, ENOUGH, Citation, Evidence, Signs, TargetEvidence, verdict_of
from llmattr.core.sources import Document

if TYPE_CHECKING:
    from llmattr.model.judge import Judge

TRIED = 5  # sources of one target that are tried, at most

NONE: frozenset[int] = frozenset()


def verify(result: Attribution, ablation: ContextAblation, judge: "Judge | None" = None) -> Evidence:
    """True ablations of what the result cites: 2 + 2 for each source that is tried, and a few sets of them; then other names.

    Of each target the cited sources are tried, best first, at most five; where a score has no error to stand clear of
    (similarities), the three best. Masks that the method has asked for already cost nothing. The word of a judge that finds a
    sentence in the documents counts with what the model says.
    """
    best = result.top(TRIED)
    tried = [_to_try([score for score in best if score.target == t], result.can_cite) for t in range(len(result))]
    known = _Known(ablation)
    singles = [kept for i in sorted({*itertools.chain(*tried)}) for kept in (frozenset({i}), known.everything - {i})]
    prefixes = [frozenset(sources[:k]) for sources in tried for k in range(1, len(sources) + 1)]
    known.ask([NONE, known.everything, *singles, *prefixes])
    pairs = [_alike(known, t, sources) for t, sources in enumerate(tried)]
    known.ask(known.everything - {*pair} for found in pairs for pair in found)
    reading = Reading(ablation)
    signs = {t: reading.signs(t, known.support(t), _opposing(result, t)[0]) for t in range(len(result))}
    signs = reading.doubted(judged(judge, reading, signs))
    targets = [_judge(result, known, t, tried[t], pairs[t], signs=signs[t], reading=reading) for t in range(len(result))]
    assert ablation.prompt.response_offsets is not None  # a prompt with a response has them
    return Evidence(tuple(targets), ablation.prompt.response_offsets, reading.full, reading.empty)


def judged(judge: "Judge | None", reading: Reading, signs: Mapping[int, Signs]) -> dict[int, Signs]:
    """The same with a judge's word: does a document say it? Of the whole response, what it says of its worst sentence."""
    sources = reading.ablation.sources
    documents = sources.documents or (Document(" ".join(sources.texts), "context"),)
    said = {t: entailed(judge, documents, reading.targets.texts[t]) for t in signs if not reading.parts[t].any()}

    def word(t: int) -> float | None:
        return min((said[part] or 0.0 for part in np.flatnonzero(reading.parts[t]).tolist()), default=said.get(t))

    return dict(signs) if judge is None else {t: replace(one, entailed=word(t)) for t, one in signs.items()}


class _Known:
    """The targets' values under sets of sources, each asked for once."""

    def __init__(self, ablation: ContextAblation) -> None:
        self.ablation = ablation
        self.everything = frozenset(range(len(ablation.sources)))
        self.values: dict[frozenset[int], Float[np.ndarray, " t"]] = {}

    def ask(self, sets: Iterable[frozenset[int]]) -> None:
        """One call for all of them, so that the engine can share what they have in common."""
        new = [kept for kept in dict.fromkeys(sets) if kept not in self.values]
        if new:
            masks = np.array([[i in kept for i in range(len(self.everything))] for kept in new])
            self.values.update(zip(new, ask(self.ablation, masks), strict=True))

    def necessity(self, t: int, *sources: int) -> float:
        """What is lost without these: `f(all) - f(all but them)`."""
        return float(self.values[self.everything][t] - self.values[self.everything - {*sources}][t])

    def sufficiency(self, t: int, *sources: int) -> float:
        """What these give alone: `f(they alone) - f(none)`."""
        return float(self.values[frozenset(sources)][t] - self.values[NONE][t])

    def support(self, t: int) -> float:
        """What all sources give together."""
        return self.sufficiency(t, *self.everything)


def _to_try(best: Sequence[Score], can_cite: bool) -> list[int]:
    if can_cite:
        return [score.source for score in best if score.cited]
    return [score.source for score in best[:3] if score.score > 0]


def _alike(known: _Known, t: int, sources: list[int]) -> list[tuple[int, int]]:
    """Pairs that may say the same: each gives much alone and is missed little."""
    much = max(known.support(t), 0.1) / 2
    alone = {i: known.sufficiency(t, i) for i in sources}
    candidates = [i for i in sources if alone[i] >= much and known.necessity(t, i) < alone[i] / 2]
    return list(itertools.combinations(candidates, 2))


def _judge(
    result: Attribution,
    known: _Known,
    t: int,
    sources: list[int],
    pairs: list[tuple[int, int]],
    *,
    signs: Signs,
    reading: Reading,
) -> TargetEvidence:
    kept, share = _sufficient(known, t, sources)
    verdict = verdict_of(signs)
    return TargetEvidence(
        full=float(known.values[known.everything][t]),
        empty=float(known.values[NONE][t]),
        verdict=verdict,
        opposed_by=_opposing(result, t)[1],
        citations=tuple(Citation(i, known.necessity(t, i), known.sufficiency(t, i)) for i in sources),
        sufficient=kept,
        share=share,
        alternatives=tuple(pair for pair in pairs if _redundant(known, t, *pair)),
        explained=signs.explained,
        stated=signs.stated,
        missing=reading.missing[t],
        apart=reading.apart[t],
        rival=signs.rival,
        contrary=signs.contrary,
        second_hop=reading.second_hop(t, sources) if verdict in CITING and result.can_cite else None,
        entailed=signs.entailed,
        unjudged=None if signs.entailed is None else verdict_of(replace(signs, entailed=None)),
    )


def _opposing(result: Attribution, t: int) -> tuple[float, int | None]:
    """The strongest score against the target that stands clear of its error, as a size, and its source."""
    against = result.clear[t] & (result.values[t] < 0)
    if not against.any():
        return 0.0, None
    worst = int(np.where(against, result.values[t], np.inf).argmin())
    return -float(result.values[t, worst]), worst


def _sufficient(known: _Known, t: int, sources: list[int]) -> tuple[tuple[int, ...], float | None]:
    """The shortest run of the best sources that alone gives `ENOUGH` of the support, and the share that it gives."""
    support = known.support(t)
    if not sources or support <= 0:
        return (), None
    shares = [known.sufficiency(t, *sources[:k]) / support for k in range(1, len(sources) + 1)]
    enough = next((k for k, share in enumerate(shares) if share >= ENOUGH), len(sources) - 1)
    return tuple(sources[: enough + 1]), shares[enough]


def _redundant(known: _Known, t: int, one: int, other: int) -> bool:
    """Without both far more is lost than without each: `N(i, j) - N(i) - N(j) >= min(S(i), S(j)) / 2`."""
    extra = known.necessity(t, one, other) - known.necessity(t, one) - known.necessity(t, other)
    return extra >= min(known.sufficiency(t, one), known.sufficiency(t, other)) / 2
