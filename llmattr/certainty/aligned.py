"""Several attributions of the same targets and sources, one beside the other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources
from llmattr.errors import LlmattrError


class Aligned(NamedTuple):
    """Scores [r, t, n] of r runs for the same n sources, nan where a run does not list a source; `first` is the first run.

    `baseline`: the mean of the runs' own, where all have one.
    """

    values: Float[np.ndarray, "r t n"]
    sources: Sources
    first: Attribution
    baseline: Float[np.ndarray, " t"] | None

    @property
    def is_whole(self) -> bool:
        """Whether every run has a score of every source."""
        return bool(np.isfinite(self.values).all())


def aligned(runs: Sequence[Attribution], names: Sequence[str] | None = None) -> Aligned:
    """The runs' scores, their sources found by their ids; of runs that list only the best rows all that any of them lists.

    `names`: what the runs are called where one does not fit; else their numbers from 1. Raises `LlmattrError` for fewer than
    two runs, and for one of other targets or sources than the first.
    """
    names = [f"run {i}" for i in range(1, len(runs) + 1)] if names is None else names
    if len(runs) < 2:
        raise LlmattrError("one run says nothing of how another would come out: give two or more")
    first = runs[0]
    for run, name in zip(runs[1:], names[1:], strict=True):
        _check_targets(run, first, f"{name} and {names[0]}")
        _check_sources(run, first, f"{name} and {names[0]}")
    sources = _every(runs)
    place = {name: number for number, name in enumerate(sources.ids)}
    levels = [run.baseline for run in runs if run.baseline is not None]
    baseline = np.mean(levels, axis=0) if len(levels) == len(runs) else None
    return Aligned(np.stack([_placed(run, place) for run in runs]), sources, first, baseline)


def _check_targets(one: Attribution, other: Attribution, both: str) -> None:
    if len(one) != len(other):
        raise LlmattrError(f"{both} have {len(one)} and {len(other)} targets: runs must be of the same")
    for text, before in zip(one.targets.texts, other.targets.texts, strict=True):
        if text != before:
            raise LlmattrError(f"{both} are of other targets: {text!r:.60} and {before!r:.60}")
    if one.traced and other.traced and one.asked != other.asked:
        raise LlmattrError(f"{both} were asked other prompts: runs must be of the same questions")


def _check_sources(one: Attribution, other: Attribution, both: str) -> None:
    if one.sources.kind != other.sources.kind:
        raise LlmattrError(f"{both} are of other sources: {one.sources.kind} and {other.sources.kind}")
    texts = dict(zip(other.sources.ids, other.sources.texts, strict=True))
    for name, text in zip(one.sources.ids, one.sources.texts, strict=True):
        if texts.get(name, text) != text:
            raise LlmattrError(f"{both} are of other {one.sources.kind}: {name} is {text!r:.60} and {texts[name]!r:.60}")
    if one.index is None and other.index is None and {*one.sources.ids} != {*texts}:
        stranger = next(iter({*one.sources.ids} ^ {*texts}))
        raise LlmattrError(f"{both} are of other {one.sources.kind}: only one of them has {stranger!r:.60}")


def _every(runs: Sequence[Attribution]) -> Sources:
    """The sources of all runs, each once: the first run's, where no other has more."""
    first = runs[0].sources
    texts = {name: text for run in runs for name, text in zip(run.sources.ids, run.sources.texts, strict=True)}
    if len(texts) == len(first):
        return first
    ids = sorted(texts, key=lambda name: (int(name) if name.isdigit() else len(texts), name))  # rows by their numbers
    return Sources(first.kind, ids, [texts[name] for name in ids])


def _placed(run: Attribution, place: dict[str, int]) -> Float[np.ndarray, "t n"]:
    numbers = np.array([place[name] for name in run.sources.ids], dtype=int)
    columns = np.arange(run.values.shape[1]) if run.index is None else run.index
    found = np.full((len(run), len(place)), np.nan)
    np.put_along_axis(found, np.broadcast_to(numbers[columns], run.values.shape), run.values, axis=1)
    return found
