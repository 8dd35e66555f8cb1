"""Scores as random variables: the same attribution of several runs, its mean, and what of it can be told from noise."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.certainty.aligned import Aligned, aligned
from llmattr.certainty.reading import Run, runs_of
from llmattr.certainty.significance import POWER, benjamini_hochberg, runs_needed, t_test, true_snr
from llmattr.certainty.variance import Factors, variance_components
from llmattr.core.attribution import Attribution
from llmattr.core.citing import FALSE
from llmattr.errors import LlmattrError

CHECKPOINT = "checkpoint"
QUESTION = "question"  # how it is worded
OF_RUNS = (QUESTION, "seed", "data order")  # factors whose every value is a question, or a training, of its own

# What is known of one run, and not of a mean over several.
OF_ONE_RUN = dict.fromkeys(("evidence", "session", "lds", "ceiling", "relevance", "p_values", "verified", "agreement"))
OF_ONE_RUN |= {"details": {}}


@dataclass(frozen=True, eq=False)
class Replicates:
    """Scores [r, t, n] of r runs that differ by chance alone; `factors` tell them apart: of each run its seed, say.

    Runs of one seed depend on each other, by their initial weights, and checkpoints of one training more: `independent`
    [s, t, n] has their mean, one for each seed, and all that is said of chance is said of these (Nguyen et al. 2023, arXiv
    2305.19765, which takes the last five checkpoints).
    """

    runs: Aligned
    factors: Factors = field(default_factory=dict)

    @property
    def sampling(self) -> str:
        """What was drawn: "paraphrases", a "deep ensemble" (of trainings), the "last checkpoints" of one, both, or "runs"."""
        drawn = [name for name in (*OF_RUNS, CHECKPOINT) if len({*map(str, self.factors.get(name, ()))}) > 1]
        if QUESTION in drawn:
            return "paraphrases"
        if CHECKPOINT not in drawn:
            return "deep ensemble" if drawn else "runs"
        return "last checkpoints" if drawn == [CHECKPOINT] else "deep ensemble of last checkpoints"

    @cached_property
    def independent(self) -> Float[np.ndarray, "s t n"]:
        """The mean over the runs of each question; of one question, of each seed; of one seed, of each order; else all runs."""
        for name in OF_RUNS:
            of = np.unique([str(label) for label in self.factors.get(name, ())], return_inverse=True)[1]
            if of.any():
                return np.stack([self.runs.values[of == one].mean(axis=0) for one in range(of.max() + 1)])
        return self.runs.values

    @property
    def mean(self) -> Float[np.ndarray, "t n"]:
        """Over runs."""
        return self.independent.mean(axis=0)

    @property
    def deviation(self) -> Float[np.ndarray, "t n"]:
        """The standard deviation between runs."""
        return self.independent.std(axis=0, ddof=1)

    @property
    def stderr(self) -> Float[np.ndarray, "t n"]:
        """The standard error of the mean: `deviation / sqrt(s)`."""
        return self.deviation / np.sqrt(len(self.independent))

    @property
    def snr(self) -> Float[np.ndarray, "t n"]:
        """Signal to noise, `|mean| / deviation`: infinite where all runs are equal, 0 where they are 0."""
        size, deviation = np.abs(self.mean), self.deviation
        return np.divide(size, deviation, out=np.where(size > 0, np.inf, 0.0), where=deviation > 0)

    @property
    def p_values(self) -> Float[np.ndarray, "t n"]:
        """Of each mean: how often runs of a score whose true mean is 0 give one as large (`t_test`)."""
        return t_test(self.independent)

    @property
    def q_values(self) -> Float[np.ndarray, "t n"]:
        """The p-values, adjusted for how many pairs there are (`benjamini_hochberg`)."""
        return benjamini_hochberg(self.p_values)

    def noise(self, level: float = FALSE) -> float:
        """The share of the pairs that cannot be told from noise: `q > level`."""
        return float((self.q_values > level).mean())

    def variance(self) -> dict[str, Float[np.ndarray, "t n"]]:
        """The variance that each factor makes (`variance_components`)."""
        return variance_components(self.runs.values, self.factors)

    def shares(self) -> dict[str, float]:
        """The share of the variance between runs that each factor makes, over all pairs."""
        sums = {name: float(part.sum()) for name, part in self.variance().items()}
        return {name: share / max(sum(sums.values()), np.finfo(float).tiny) for name, share in sums.items()}

    def record(self, power: float = POWER) -> dict[str, Any]:
        """What the mean does not say, in plain numbers: snr, p-values, how many runs each pair takes, the variance's parts."""
        seen, of = np.unique(self.snr.round(3), return_inverse=True)  # each of them takes a search
        each = np.array([runs_needed(true_snr(one, len(self.independent)), power) for one in seen.tolist()], dtype=object)
        needed = each[of.reshape(self.snr.shape)].tolist()
        of_pairs = {"snr": self.snr, "p_values": self.p_values, "runs_needed": needed}
        parts = {name: part.tolist() for name, part in self.variance().items()} if self.factors else {}
        return {**of_pairs, "noise": self.noise(), "power": power, "factors": {**self.factors}, "variance": parts}

    def attribution(self, top: int | None = None) -> Attribution:
        """The mean as an attribution with its error, deviation and q-values; `top`: only so many of each end, highest first."""
        first, values = self.runs.first, self.mean
        record: dict[str, Any] = {
            "runs": len(self.runs.values),
            "independent": len(self.independent),
            "sampling": self.sampling,
        }
        if sum(len({*map(str, labels)}) > 1 for labels in self.factors.values()) > 1:
            record["variance"] = self.shares()
        columns = {"stderr": self.stderr, "deviation": self.deviation, "q_values": self.q_values}
        cut, sources, index = top is not None and 2 * top < values.shape[1], self.runs.sources, None
        if cut or first.index is not None:
            order = np.argsort(-values, axis=1, kind="stable")
            order = order[:, np.r_[:top, -(top or 0) : 0]] if cut else order
            kept, places = np.unique(order, return_inverse=True)
            sources, index = sources.subset(kept), places.reshape(order.shape)
            values, *rest = [np.take_along_axis(one, order, axis=1) for one in (values, *columns.values())]
            columns = dict(zip(columns, rest, strict=True))
        known = {"values": values, "sources": sources, "index": index, "baseline": self.runs.baseline, **columns}
        return replace(first, run={**first.run, "replicates": record}, **known, **OF_ONE_RUN)


def replicates(runs: Iterable[Run], factors: Factors | None = None, names: Sequence[str] | None = None) -> Replicates:
    """The runs, aligned: attributions of any method, scores [t, n], or files of either (`read_runs`).

    `factors`: what tells them apart, of each run, named "seed", "data order", "checkpoint" or as you like. `names`: what they
    are called in errors. Raises `LlmattrError` for one run, for runs of other targets, sources or units, for lists of the best
    rows alone, and where no score differs between runs.
    """
    given = runs_of(runs)
    found = aligned(given, names)
    for run in given[1:]:
        if (run.method["name"], run.unit) != (given[0].method["name"], given[0].unit):
            both = " and ".join(f"{one.method['name']} in {one.unit}" for one in (given[0], run))
            raise LlmattrError(f"a mean is of runs of one method, and these are {both}: compare methods by their stability")
    if not found.is_whole:
        t, i = np.argwhere(~np.isfinite(found.values))[0, 1:].tolist()
        missing = f"target {t} has no score of {found.sources.ids[i]!r:.60} in every run"
        raise LlmattrError(f"{missing}: a mean needs the scores of all sources, so ask for all rows (--top)")
    for name, labels in (factors or {}).items():
        if len(labels) != len(given):
            raise LlmattrError(f"there are {len(given)} runs and {len(labels)} labels of their {name}: give one for each")
    if not np.ptp(found.values, axis=0).any():
        raise LlmattrError(f"the {len(given)} runs are equal in every score: nothing that differs between them has an effect")
    return Replicates(found, factors or {})


def replicated(
    attribute: Callable[..., Attribution],
    *,
    seeds: Sequence[int] = (),
    data_orders: Sequence[object] = (),
    checkpoints: Sequence[object] = (),
) -> Replicates:
    """`attribute(seed=, data_order=, checkpoint=)` for every combination of what is given: replicates of any method.

    It is given those that are listed here alone, by their names.
    """
    given = {"seed": seeds, "data order": data_orders, CHECKPOINT: checkpoints}
    given = {name: values for name, values in given.items() if len(values)}
    cells = list(itertools.product(*given.values()))
    names = [name.replace(" ", "_") for name in given]
    runs = [attribute(**dict(zip(names, cell, strict=True))) for cell in cells] if given else []
    factors = {name: [cell[place] for cell in cells] for place, name in enumerate(given)}
    return replicates(runs, factors)
