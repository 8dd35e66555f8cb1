"""Data selection: which rows to train on for the sake of some targets, and whether the choice is any good."""

import itertools
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.seeded import generator
from llmattr.core.sources import Sources
from llmattr.errors import LlmattrError, check_choice, check_number
from llmattr.retrieval.bm25 import bm25_scores, terms

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation

Selected = Int[np.ndarray, "..."]  # source numbers [k], or several draws [draws, k] of them
By = Literal["mean", "best", "turns"]  # what counts of a source's scores for several targets
OF_METHODS: dict[str, By] = {"less": "best", "rds": "turns"}  # as published


def select(attribution: Attribution, k: int, sources: Sources | None = None, by: By | None = None) -> Int[np.ndarray, " k"]:
    """The k sources with the HIGHEST scores over the targets, best first.

    `by` "mean": of their means over the targets (DsDm: Engstrom et al. 2024, arXiv 2401.12926). "best": of each one's highest,
    so that what helps one target alone is taken, too (LESS: Xia et al. 2024, arXiv 2402.04333, where a target is a task).
    "turns": targets take turns, each takes its highest that is left (RDS+: Ivison et al. 2025, arXiv 2503.01807). None: as the
    method that made the scores was published. A score is positive where the row makes the targets likelier, whatever the
    method; the k smallest weights of a datamodel of the loss are the same rows, with the other sign. Returns their numbers
    among the attribution's sources, or among `sources`, where they are found by their ids (for a saved trace that names only
    the rows that it returned).
    """
    sources = attribution.sources if sources is None else sources
    by = OF_METHODS.get(attribution.method["name"], "mean") if by is None else by
    check_choice("by", by, get_args(By))
    scores = scores_of(attribution, sources)
    known = np.isfinite(scores).any(axis=0).sum()
    check_number("k", k, 1, len(sources) + 1, whole=True)
    if known < k:
        raise LlmattrError(f"there are scores of {known} sources, and {k} are to be selected: score more, with --top")
    if by == "turns":
        return taken_in_turns(scores, k)
    each = _means(scores) if by == "mean" else np.fmax.reduce(scores, axis=0)
    return np.argsort(-np.where(np.isfinite(each), each, -np.inf), kind="stable")[:k]


def taken_in_turns(scores: Float[np.ndarray, "t n"], k: int) -> Int[np.ndarray, " k"]:
    """k sources: target after target takes the one with its highest score that is left; nan is no score."""
    left, chosen = np.where(np.isfinite(scores), scores, -np.inf), list[int]()
    for own in itertools.cycle(left):
        source = int(own.argmax())
        if np.isfinite(own[source]):
            chosen.append(source)
            left[:, source] = -np.inf
        if len(chosen) == k:
            break
    return np.array(chosen)


def mean_scores(attribution: Attribution, sources: Sources) -> Float[np.ndarray, " n"]:
    """The mean over the targets of each source's score; nan for a source without any, 0 where only some targets have none."""
    return _means(scores_of(attribution, sources))


def _means(scores: Float[np.ndarray, "t n"]) -> Float[np.ndarray, " n"]:
    return np.where(np.isfinite(scores).any(axis=0), np.nansum(scores, axis=0) / len(scores), np.nan)


def scores_of(attribution: Attribution, sources: Sources) -> Float[np.ndarray, "t n"]:
    """Each target's score of each of these sources; nan where it has none."""
    place = {name: number for number, name in enumerate(sources.ids)}
    if strangers := [name for name in attribution.sources.ids if name not in place]:
        raise LlmattrError(f"the scores are of other data: no {strangers[0]!r} is among these {len(sources)} {sources.kind}")
    numbers = np.array([place[name] for name in attribution.sources.ids], dtype=int)
    _check_texts(attribution.sources, sources, numbers)
    columns = np.arange(attribution.values.shape[1]) if attribution.index is None else attribution.index
    at = np.broadcast_to(numbers[columns], attribution.values.shape)
    scores = np.full((len(attribution), len(sources)), np.nan)
    np.put_along_axis(scores, at, attribution.values, axis=1)
    return scores


def _check_texts(scored: Sources, sources: Sources, numbers: Int[np.ndarray, " k"]) -> None:
    """Raise `LlmattrError` where rows of the same numbers say something else: other rows, or another order of them."""
    for name, text, number in zip(scored.ids, scored.texts, numbers, strict=True):
        other = sources.texts[int(number)]
        if scored.kind == sources.kind and "".join(text.split()) != "".join(other.split()):
            raise LlmattrError(f"the scores are of other data: {name} was {text!r:.60} there, and here it is {other!r:.60}")


def bm25_selection(rows: Sequence[str], targets: Sequence[str], k: int) -> Int[np.ndarray, " k"]:
    """The k texts with the highest mean BM25 score for the targets' texts."""
    return _best(bm25_scores(rows, targets).mean(axis=0), k)


def dsir_selection(
    rows: Sequence[str], targets: Sequence[str], k: int, seed: int = 0, *, buckets: int = 10000, gumbel: bool = True
) -> Int[np.ndarray, " k"]:
    """k texts drawn by how much likelier their words are among the targets' (DSIR: Xie et al. 2023, arXiv 2302.03169).

    Words and pairs of neighbours are hashed into `buckets`; a text's log-weight is the sum over its n-grams of
    `log p_target(bucket) - log p_raw(bucket)`. With `gumbel` noise the k highest are a draw without replacement in proportion
    to the weights, as in the paper; without it the k highest weights. As much as one n-gram of the raw data is added to the
    targets' counts, so that a few short targets rule nothing out.
    """
    grams = [_ngrams(text, buckets) for text in rows]
    raw, target = (_counts(several, buckets) for several in (grams, [_ngrams(text, buckets) for text in targets]))
    raw = raw / max(raw.sum(), 1)
    target = (target + raw) / (target.sum() + 1)
    ratio = np.zeros(buckets)
    ratio[raw > 0] = np.log(target[raw > 0]) - np.log(raw[raw > 0])
    noise = generator(seed, "dsir").gumbel(size=len(rows)) if gumbel else 0.0
    return _best(np.array([ratio[own].sum() for own in grams]) + noise, k)


def random_selection(n: int, k: int, seed: int = 0) -> Int[np.ndarray, " k"]:
    """k of n rows, each as likely as the others."""
    check_number("k", k, 1, n + 1, whole=True)
    return generator(seed, "random selection").permutation(n)[:k]


class Outcome(NamedTuple):
    """What training on a selection gives: the mean over the targets (of log-probabilities: minus the loss), in their unit.

    `stderr` is that of the mean over runs: over draws where the selection is several draws, else over replicates; nan for one.
    """

    rows: Selected
    value: float
    stderr: float


def compare_selections(
    ablation: "RetrainingAblation", selections: Mapping[str, Selected | Sequence[int]], replicates: int = 3
) -> dict[str, Outcome]:
    """Train on each selection's rows alone, with the same seeds for all, and read the targets.

    A selection is source numbers [k], or several draws [draws, k] of it. Runs are those of the ablation: stored, and never made
    twice. Every run makes as many steps of as many rows, so k changes what is trained on, not how long.
    """
    check_number("replicates", replicates, 1, whole=True)
    masks = [_kept(chosen, len(ablation.sources)) for chosen in selections.values()]
    outputs = ablation.with_pairs().replicated(np.concatenate(masks), replicates).mean(axis=2)
    ends = np.cumsum([len(draws) for draws in masks])
    parts = np.split(outputs, ends[:-1])
    return {name: _outcome(np.asarray(rows), of) for (name, rows), of in zip(selections.items(), parts, strict=True)}


def _kept(selection: Selected | Sequence[int], n: int) -> Bool[np.ndarray, "draws n"]:
    """A mask for each draw of a selection."""
    draws = np.atleast_2d(selection)
    masks = np.zeros((len(draws), n), dtype=bool)
    for mask, chosen in zip(masks, draws, strict=True):
        mask[chosen] = True
    return masks


def _outcome(rows: Selected, values: Float[np.ndarray, "draws r"]) -> Outcome:
    runs = values.mean(axis=1) if len(values) > 1 else values[0]
    stderr = runs.std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.nan
    return Outcome(rows, float(runs.mean()), float(stderr))


def _best(scores: Float[np.ndarray, " n"], k: int) -> Int[np.ndarray, " k"]:
    check_number("k", k, 1, len(scores) + 1, whole=True)
    return np.argsort(-scores, kind="stable")[:k]


def _ngrams(text: str, buckets: int) -> Int[np.ndarray, " g"]:
    """The buckets of the text's words and pairs of neighbours."""
    said = terms(text)
    grams = [*said, *(f"{one} {other}" for one, other in pairwise(said))]
    return np.array([zlib.crc32(gram.encode()) % buckets for gram in grams], dtype=int)


def _counts(texts: Sequence[Int[np.ndarray, " _"]], buckets: int) -> Float[np.ndarray, " b"]:
    return np.bincount(np.concatenate(texts), minlength=buckets).astype(float)
