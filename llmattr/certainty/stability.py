"""How far two or more attributions agree: their ranks, their best sources, and which sources change."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.certainty.aligned import Aligned, aligned
from llmattr.certainty.reading import Run, runs_of
from llmattr.certainty.resampling import jackknife
from llmattr.errors import LlmattrError, check_number, note
from llmattr.metrics import stats
from llmattr.metrics.stats import Interval

MEASURES = ("kendall", "spearman", "jaccard", "rbo")  # of two attributions


def nogueira(chosen: Bool[np.ndarray, "r n"], level: float = 0.95) -> Interval:
    """Stability of r choices among n sources, and its interval: 1 = always the same, 0 = as by chance (Nogueira et al. 2018).

    `1 - mean_f(s_f^2) / (q (1 - q))`, `s_f^2 = r / (r - 1) p_f (1 - p_f)` of the share p_f of choices with source f, q = the
    mean of p_f; for two choices of one size Kuncheva's index. The interval is theorem 7's, normal around it. nan where all or
    none are chosen every time (JMLR 18(174), definition 4).
    """
    from scipy.stats import norm

    r, n = chosen.shape
    check_number("choices", r, 2, whole=True)
    p, sizes = chosen.mean(axis=0), chosen.sum(axis=1) / n
    q = float(p.mean())
    chance = q * (1 - q)
    if not chance:
        return Interval(math.nan, math.nan, math.nan)
    index = 1 - r / (r - 1) * float((p * (1 - p)).mean()) / chance
    each = ((chosen * p).mean(axis=1) - sizes * q + index / 2 * (2 * sizes * q - sizes - q + 1)) / chance
    half = norm.isf((1 - level) / 2) * 2 * float(each.std()) / math.sqrt(r)
    return Interval(index, index - half, index + half)


@dataclass(frozen=True, eq=False)
class Stability:
    """Agreement of r attributions of the same targets and sources, by their names; of each target the `k` best are compared."""

    runs: Aligned
    names: Sequence[str]
    methods: Sequence[str]
    k: int

    @cached_property
    def ranked(self) -> Float[np.ndarray, "r t n"]:
        """Scores whose order is right, also of lists: what is not listed stands between their ends, or below the best."""
        return np.stack([[_filled(row, ends=self.runs.first.traced) for row in run] for run in self.runs.values])

    @property
    def orders(self) -> Bool[np.ndarray, "r t"]:
        """Whether a run tells sources of a target apart."""
        values = self.runs.values
        return np.asarray(np.nanmax(values, axis=2) > np.nanmin(values, axis=2))

    @property
    def ordered(self) -> Bool[np.ndarray, " t"]:
        """The targets that are compared: those of which every run tells sources apart."""
        return np.asarray(self.orders.all(axis=0))

    @cached_property
    def chosen(self) -> Bool[np.ndarray, "r t n"]:
        """Whether a source is among the k best of a target, and so are all that score the same there (`highest`).

        None of a target that is not compared.
        """
        return np.stack([stats.highest(scores, self.k) for scores in self.ranked]) & self.ordered[:, None]

    @cached_property
    def agreement(self) -> dict[str, Float[np.ndarray, "r r"]]:
        """Of each measure the mean over the compared targets of every two runs, 1 = the same; nan where no target has one."""
        by: dict[str, Callable[[int, int], Float[np.ndarray, " t"]]] = {
            "kendall": lambda i, j: self._of_shared(stats.kendall, i, j),
            "spearman": lambda i, j: self._of_shared(stats.spearman, i, j),
            "jaccard": lambda i, j: stats.top_k_jaccard(self.ranked[i], self.ranked[j], self.k),
            "rbo": lambda i, j: stats.rank_biased_overlap(self.ranked[i], self.ranked[j], depth=self.k),
        }
        return {name: self._matrix(by[name]) for name in MEASURES}

    def _of_shared(self, measure: Callable[..., Float[np.ndarray, " t"]], i: int, j: int) -> Float[np.ndarray, " t"]:
        """A rank correlation over the sources that both list."""
        pairs = zip(self.runs.values[i], self.runs.values[j], strict=True)
        both = [(a[known], b[known]) for a, b in pairs for known in [np.isfinite(a) & np.isfinite(b)]]
        return np.array([measure(a[None], b[None])[0] if len(a) > 1 else np.nan for a, b in both])

    def _matrix(self, measure: Callable[[int, int], Float[np.ndarray, " t"]]) -> Float[np.ndarray, "r r"]:
        r = len(self.names)
        found = np.eye(r)
        for i in range(r):
            for j in range(i):
                found[i, j] = found[j, i] = _known_mean(np.where(self.ordered, measure(i, j), np.nan))
        return found

    def mean(self, measure: str) -> tuple[float, float]:
        """The mean over all pairs of runs, and its error: the jackknife's over runs, nan of two."""
        matrix = self.agreement[measure]

        def of(rows: Int[np.ndarray, " k"]) -> float:
            return _known_mean(matrix[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)])

        r = len(self.names)
        error = math.sqrt(float(jackknife(of, r))) if r > 2 else math.nan
        return of(np.arange(r)), error

    @cached_property
    def index(self) -> list[Interval]:
        """Of each target `nogueira` of the k best."""
        return [nogueira(self.chosen[:, t]) for t in range(self.chosen.shape[1])]

    @property
    def share(self) -> Float[np.ndarray, "t n"]:
        """In which share of the runs a source is among the k best."""
        return self.chosen.mean(axis=0)

    def record(self) -> dict[str, Any]:
        """In plain numbers: matrices [r, r] in the runs' order, and of each target the index and each source's share."""
        means = {name: dict(zip(("mean", "stderr"), self.mean(name), strict=True)) for name in MEASURES}
        targets = [
            {"text": text, "index": index._asdict(), "share": share.tolist()}
            for text, index, share in zip(self.runs.first.targets.texts, self.index, self.share, strict=True)
        ]
        sources = [
            {"id": name, "text": text} for name, text in zip(self.runs.sources.ids, self.runs.sources.texts, strict=True)
        ]
        agreement = {name: matrix.tolist() for name, matrix in self.agreement.items()}
        return {
            "runs": [*self.names],
            "methods": [*self.methods],
            "k": self.k,
            "means": means,
            "agreement": agreement,
            "sources": sources,
            "targets": targets,
        }


def _known_mean(values: Float[np.ndarray, " m"]) -> float:
    """Of those that are numbers; nan where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _filled(row: Float[np.ndarray, " n"], *, ends: bool) -> Float[np.ndarray, " n"]:
    """A row of scores with one for what is not listed: between the ends of a list of the best and the worst, or below all."""
    listed = np.sort(row[np.isfinite(row)])
    middle = len(listed) // 2
    rest = listed[max(middle - 1, 0) : middle + 1].mean() if ends else listed[0] - 1
    return np.where(np.isfinite(row), row, rest)


def stability(runs: Iterable[Run], k: int | None = None, names: Sequence[str] | None = None) -> Stability:
    """How far the runs agree: attributions of any methods and seeds, scores [t, n], or files of either (`read_runs`).

    `k`: how many best sources of a target are compared; None: 5, and half of the sources at most. Raises `LlmattrError` for one
    run, for runs of other targets or sources, where every target has a run that gives all its sources the same score, and for
    lists of fewer than k.
    """
    given = runs_of(runs)
    names = [f"run {i}" for i in range(1, len(given) + 1)] if names is None else names
    found = aligned(given, names)
    n = len(found.sources)
    k = max(1, min(5, n // 2)) if k is None else k
    check_number("k", k, 1, n, whole=True)
    for name, run in zip(names, given, strict=True):
        listed = run.values.shape[1] // 2 if run.traced and run.values.shape[1] < n else run.values.shape[1]
        if listed < k:
            raise LlmattrError(f"{name} lists the {listed} best sources of a target, and the {k} best are compared (--k)")
    made = Stability(found, names, [run.method["name"] for run in given], k)
    _check_orders(made)
    return made


def _check_orders(found: Stability) -> None:
    """A note where targets have no order to compare; raises `LlmattrError` where none has."""
    if found.ordered.all():
        return
    run, target = np.argwhere(~found.orders)[0].tolist()
    same = f"{found.names[run]} gives every source of a target the same score"
    if not found.ordered.any():
        raise LlmattrError(f"{same}: it has no order to compare")
    text = found.runs.first.targets.texts[target]
    note(f"{int((~found.ordered).sum())} of {len(found.ordered)} targets have no order to compare: {same}, of {text!r:.60}")
