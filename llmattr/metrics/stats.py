"""Agreement of two score matrices [t, n]; means, and statistics of resampled rows, with their uncertainty."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from llmattr.errors import LlmattrError, check_number
from llmattr.metrics.shapes import PerTarget, Scores

ROUNDING = 1e-9  # of the range: numbers nearer than that are ties, since rounding ranks nothing
AT_ONCE = 2**20  # numbers of a resampling that are held in memory

Judges = Float[np.ndarray, "d t"]  # a measure of every target, by d resamplings of what judges them
Groups = Shaped[np.ndarray, " t"] | Sequence[object]  # what each target belongs to: numbers, names


class Interval(NamedTuple):
    """A mean and the bounds of its interval; the mean of nothing is nan, and so are the bounds for fewer than two groups."""

    mean: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The mean difference of two methods on the same targets, the bounds of its interval, and the chance of one as large."""

    difference: float
    low: float
    high: float
    p_value: float


def spearman(one: Scores, other: Scores) -> PerTarget:
    """Rank correlation of each row of one with the same row of the other, from -1 to 1 (Spearman 1904).

    Equal scores share their average rank. nan for a row in which either has only equal scores (an `lds` counts it 0 where the
    predictions are equal: `foretold`).

    >>> spearman(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]), np.array([[1.0, 8.0, 9.0], [1.0, 2.0, 3.0]])).round(12).tolist()
    [1.0, nan]
    """
    from scipy.stats import rankdata

    ranks = [rankdata(scores, axis=1) for scores in (one, other)]
    first, second = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.where(lengths > 0, lengths, np.nan)


def foretold(predicted: Float[np.ndarray, "t m"], seen: Float[np.ndarray, "t m"]) -> Float[np.ndarray, " t"]:
    """`spearman` of each row, 0 where all predictions are equal and nan where all that was seen is.

    The only rank correlation of predictions with ablations, of an LDS and of a fit (`llmattr.metrics.lds` says why).

    >>> seen = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    >>> foretold(np.array([[3.0, 2.0, 1.0], [5.0, 5.0, 5.0], [1.0, 2.0, 3.0]]), seen).round(12).tolist()
    [-1.0, 0.0, nan]
    """
    predicted, seen = _tied(predicted), _tied(seen)
    unpredicted = (np.ptp(predicted, axis=1) == 0) & (np.ptp(seen, axis=1) > 0)
    return np.where(unpredicted, 0.0, spearman(predicted, seen))


def rank_agreement(
    predicted: Float[np.ndarray, " m"], seen: Float[np.ndarray, " m"], *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """`foretold` of m pairs of numbers, and its percentile interval over `draws` resamplings of the pairs (Efron 1979).

    nan where all that was seen is equal; resamplings in which it is are left out of the interval.

    >>> rank_agreement(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 8.0, 16.0]))
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    check_number("level", level, 0, 1)
    check_number("draws", draws, 1, whole=True)
    found = float(foretold(predicted[None], seen[None]).round(12)[0])
    if np.isnan(found):
        return Interval(np.nan, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(len(seen), size=(draws, len(seen)))
    again = foretold(predicted[drawn], seen[drawn]).round(12)
    again = again[np.isfinite(again) & (np.ptp(predicted[drawn], axis=1) > 0)]
    low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2]) if len(again) else (np.nan, np.nan)
    return Interval(found, float(low), float(high))


def _tied(rows: Float[np.ndarray, "t m"]) -> Float[np.ndarray, "t m"]:
    """Each row from 0 to 1, where what rounding tells apart is the same; all 0 where it holds one number only."""
    spread = np.ptp(rows, axis=1, keepdims=True)
    varies = spread > ROUNDING * np.abs(rows).max(axis=1, keepdims=True)
    share = (rows - rows.min(axis=1, keepdims=True)) / np.where(varies, spread, 1.0)
    return np.where(varies, np.round(share, 9), 0.0)


def kendall(one: Scores, other: Scores) -> PerTarget:
    """Kendall's tau-b of each row with the same row of the other, from -1 to 1 (Kendall 1945).

    `(concordant - discordant) / sqrt(pairs untied in one * pairs untied in the other)`; nan where either row is all ties.

    >>> kendall(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 3.0, 2.0]])).round(12).tolist()  # 2 pairs agree, 1 does not
    [0.333333333333]
    """
    from scipy.stats import kendalltau

    return np.array([kendalltau(a, b)[0] for a, b in zip(one, other, strict=True)], dtype=float)


def top_k(values: Scores, k: int) -> Int[np.ndarray, "t k"]:
    """The sources with the k highest scores, best first; equal scores keep the order of their sources. All where n < k.

    >>> top_k(np.array([[0.5, 2.0, 2.0, -1.0]]), 3).tolist()
    [[1, 2, 0]]
    """
    check_number("k", k, 1, whole=True)
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def highest(values: Scores, k: int) -> Bool[np.ndarray, "t n"]:
    """Whether a source is one of the k highest, and so are all that score the same: no choice by the sources' order.

    >>> highest(np.array([[0.5, 2.0, 2.0, -1.0], [0.0, 0.0, 9.0, 0.0]]), 2).sum(axis=1).tolist()
    [2, 1]
    """
    check_number("k", k, 1, whole=True)
    n = values.shape[1]
    return values > np.sort(values, axis=1)[:, n - 1 - k, None] if k < n else np.ones(values.shape, dtype=bool)


def top_k_overlap(one: Scores, other: Scores, k: int) -> PerTarget:
    """The share of the k highest that both have, from 0 to 1; ties as in `top_k`."""
    pairs = zip(top_k(one, k), top_k(other, k), strict=True)
    return np.array([len(np.intersect1d(a, b)) / len(a) for a, b in pairs], dtype=float)


def top_k_jaccard(one: Scores, other: Scores, k: int) -> PerTarget:
    """`|A and B| / |A or B|` of the two sets of the k highest, from 0 to 1; ties as in `highest`, nan where they leave nothing.

    >>> top_k_jaccard(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]]), 2).round(12).tolist()  # one of three
    [0.333333333333]
    """
    a, b = highest(one, k), highest(other, k)
    shared, either = (a & b).sum(axis=1), (a | b).sum(axis=1)
    return shared / np.where(either > 0, either, np.nan)


def rank_biased_overlap(one: Scores, other: Scores, persistence: float = 0.9, depth: int | None = None) -> PerTarget:
    """Agreement of two orders in which the top counts most, from 0 to 1 (RBO: Webber, Moffat and Zobel 2010, equation 32).

    `(1 - p) / p * sum_{d=1..n} p^d A_d + p^n A_n`, A_d = the share of the d highest that both have; of all n sources A_n = 1.
    `persistence` p is the chance that a reader goes on to the next rank. `depth`: only so many ranks are known, and beyond them
    both agree as they do there (the extrapolated RBO). Ties as in `highest`: A_d = `2 |A and B| / (|A| + |B|)`, and depths at
    which they leave nothing count for nothing (nan where all do).

    >>> rank_biased_overlap(np.array([[4.0, 3, 2, 1]]), np.array([[4.0, 1, 2, 3]]), depth=2).round(12).tolist()  # 0.1 + 0.9 / 2
    [0.55]
    """
    from scipy.stats import rankdata

    check_number("persistence", persistence, 1e-9, 1)
    if depth is not None:
        check_number("depth", depth, 1, one.shape[1] + 1, whole=True)
    t, n = one.shape
    last = [rankdata(-scores, "max", axis=1).astype(int) - 1 for scores in (one, other)]  # of equal scores the last place

    def within(ranks: Int[np.ndarray, "t n"]) -> Int[np.ndarray, "t d"]:
        counts = np.bincount((ranks + n * np.arange(t)[:, None]).reshape(-1), minlength=t * n).reshape(t, n)
        return counts.cumsum(axis=1)[:, :depth]

    shared, sizes = 2 * within(np.maximum(*last)), within(last[0]) + within(last[1])
    ranks = np.arange(1, sizes.shape[1] + 1)
    weights = (1 - persistence) / persistence * persistence**ranks
    weights[-1] += persistence ** len(ranks)
    counted = (sizes > 0) @ weights
    return (shared / np.maximum(sizes, 1)) @ weights / np.where(counted > 0, counted, np.nan)


def bootstrap_interval(
    per_target: PerTarget, groups: Groups | None = None, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval:
    """The mean over targets and its percentile interval over `draws` resamplings (Efron 1979); nan are left out.

    `groups` [t]: targets of one group (the sentences of one answer, say) depend on each other and are drawn together. Two
    methods on the same targets are compared by the interval of their differences: `paired_comparison(one, other)`.
    """
    check_number("level", level, 0, 1)
    check_number("draws", draws, 1, whole=True)
    groups = np.arange(len(per_target)) if groups is None else np.asarray(groups)
    if groups.shape != per_target.shape:
        raise LlmattrError(f"there must be a group for each of the {len(per_target)} targets, not groups {groups.shape}")
    known = np.isfinite(per_target)
    if not known.any():
        return Interval(np.nan, np.nan, np.nan)
    names, group = np.unique(groups[known], return_inverse=True)
    if len(names) < 2:
        return Interval(float(per_target[known].mean()), np.nan, np.nan)
    sums, counts = np.bincount(group, per_target[known]), np.bincount(group)
    rng, shares, means = np.random.default_rng(seed), np.full(len(names), 1 / len(names)), np.empty(draws)
    for some in _chunks(draws, len(names)):
        times = rng.multinomial(len(names), shares, size=some.stop - some.start)
        means[some] = (times @ sums) / (times @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(per_target[known].mean()), float(low), float(high))


def bootstrap_stderr(
    statistic: Callable[[Int[np.ndarray, " m"]], Scores], m: int, bootstraps: int = 100, seed: int = 0
) -> Scores | None:
    """The standard error [t, n] of a statistic of m rows: its deviation over `bootstraps` draws of m rows with replacement.

    `statistic` takes the numbers of the rows that were drawn. Efron 1979. With 100 draws the error itself is known to about
    7 %. None when fewer than two draws are asked for.
    """
    if bootstraps < 2:
        return None
    draws = np.random.default_rng(seed).integers(m, size=(bootstraps, m))
    return np.std([statistic(rows) for rows in draws], axis=0, ddof=1)


def paired_comparison(
    one: PerTarget, other: PerTarget, groups: Groups | None = None, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Comparison:
    """`mean(one - other)` over the targets that both have, its `bootstrap_interval`, and a two-sided p-value.

    `p` = the share of all ways to exchange the two methods, target by target (group by group), that give a mean difference at
    least as large: exact where these are at most `draws`, else of so many drawn ones and the given one. From 2 / 2^groups to
    1, so few targets cannot look certain, where the interval is too narrow; nan with fewer than two groups. Fisher 1935 (the
    randomisation test); Smucker, Allan and Carterette 2007, CIKM, for measures of retrieval.
    """
    differences = one - other
    mean, low, high = bootstrap_interval(differences, groups, level=level, draws=draws, seed=seed)
    known = np.isfinite(differences)
    group = np.unique(np.arange(len(one))[known] if groups is None else np.asarray(groups)[known], return_inverse=True)[1]
    sums = np.bincount(group, differences[known])
    if len(sums) < 2:
        return Comparison(mean, low, high, np.nan)
    exact, g = 2 ** len(sums) <= draws, len(sums)
    ways, rng, as_large = 2**g if exact else draws, np.random.default_rng(seed), 0
    least = np.abs(sums.sum()) - 1e-12 * np.abs(sums).sum()  # but for rounding
    for some in _chunks(ways, g):
        if exact:
            exchanged = np.arange(some.start, some.stop)[:, None] >> np.arange(g) & 1
        else:
            exchanged = rng.integers(0, 2, (some.stop - some.start, g), dtype=np.int8)
        as_large += int((np.abs((1 - 2 * exchanged) @ sums) >= least).sum())
    p_value = as_large / ways if exact else (as_large + 1) / (draws + 1)
    return Comparison(mean, low, high, p_value)


def two_way_comparison(
    per_target: PerTarget, judges: Judges, groups: Groups | None = None, *, level: float = 0.95, seed: int = 0
) -> Comparison:
    """The mean over targets, its interval where targets AND what judges them were drawn by chance, and a two-sided p-value.

    `judges` [d, t] are the same measures (or differences of two methods) by d resamplings of what judges all targets at once,
    held-out models say, which a resampling of targets alone takes for certain. Each of the d draws also draws the targets
    (their groups) with replacement: the pigeonhole bootstrap (Owen 2007), which is conservative. `p` is that of a t-test with
    the draws' deviation as standard error and g - 1 degrees of freedom for g groups, and at least `2 / 2^g`, as in
    `paired_comparison`; a share of the d draws could not be small enough for many comparisons at once. nan are left out.

    >>> two_way_comparison(np.ones(3), np.ones((50, 3)))
    Comparison(difference=1.0, low=1.0, high=1.0, p_value=0.25)
    """
    check_number("level", level, 0, 1)
    known = np.isfinite(per_target)
    if not known.any():
        return Comparison(np.nan, np.nan, np.nan, np.nan)
    names, group = np.unique(np.arange(len(known))[known] if groups is None else np.asarray(groups)[known], return_inverse=True)
    d = len(judges)
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=d)[:, group]
    rows = judges[:, known]
    defined = np.isfinite(rows)
    means = (times * np.where(defined, rows, 0)).sum(axis=1) / np.maximum((times * defined).sum(axis=1), 1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean, error, g = float(per_target[known].mean()), float(means.std(ddof=1)), len(names)
    return Comparison(mean, float(low), float(high), _t_test(mean, error, g) if g > 1 else np.nan)


def _t_test(mean: float, error: float, groups: int) -> float:
    from scipy.stats import t

    if mean == 0:
        return 1.0
    size = abs(mean) / error if error > 0 else np.inf
    return max(2 * float(t.sf(size, groups - 1)), 2 / 2**groups)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of k comparisons made at once, adjusted so that the chance of any false one stays at the level (Holm 1979).

    The i-th smallest becomes `max_{j <= i} (k - j + 1) p_(j)`, at most 1; nan stays nan and does not count.

    >>> [round(p, 12) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = [i for i in np.argsort(p) if np.isfinite(p[i])]
    adjusted, highest = p.copy(), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p[i]))
        adjusted[i] = highest
    return adjusted.tolist()


def _chunks(rows: int, width: int) -> Iterator[slice]:
    """Rows of this width, a few megabytes at a time; fours together, since small whole numbers are drawn four at once."""
    step = max(AT_ONCE // max(width, 1) // 4 * 4, 4)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))
