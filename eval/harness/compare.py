"""From judged scores to a table: means with their intervals, differences from a base, and which of them are real."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from eval.harness.contract import Costs, Entry, Judged
from eval.harness.record import Figure
from llmattr import metrics
from llmattr.metrics.stats import Comparison, Interval

LEVEL = 0.05  # of a real difference, after Holm's correction
DRAWS = 4000  # resamplings for an interval
FEW = 4  # questions: of fewer there is no interval
COSTS = ("passes", "tokens", "models", "bytes", "CPU s")
SLACK = 1.25  # of a budget: a fourth more is still that budget
SHARES = (  # measures from 0 to 1, by how their names begin
    *("AP", "MRR", "P@", "R@", "AUROC", "cited", "threshold", "entailed", "forgotten"),
    *("jaccard", "rbo", "right", "reworded", "paraphrase", "false", "swapped", "supported", "unsupported", "refusal"),
)
CORRELATIONS = ("LDS", "kendall", "spearman", "nogueira")  # measures from -1 to 1, likewise


@dataclass(frozen=True, eq=False)
class Line:
    """An entry's measures over all problems, None where it went wrong; of each problem its units' groups, and if it judges.

    `costs`, `wrong`: of each problem what was paid and what went wrong, by several entries where they differ by their seed.
    `budget`: that of the table in which the line stands.
    """

    entry: Entry
    judged: Sequence[Judged | None]
    units: Sequence[Sequence[str]]  # the groups of each problem's units
    judges_by: Sequence[bool]  # False: choices were made on it
    costs: Sequence[Sequence[Costs]]
    wrong: Sequence[Sequence[str]]
    budget: int | None = None

    @property
    def needs(self) -> int | None:
        """The passes or models that a method took, where it cannot do with the table's budget."""
        paid = costs(self)
        took = paid.get("models", paid.get("passes", 0))
        return took if self.budget and self.entry.family != "reference" and took > SLACK * self.budget else None

    @property
    def groups(self) -> list[str]:
        """Of every unit."""
        return [group for units in self.units for group in units]

    @property
    def judging(self) -> Bool[np.ndarray, " u"]:
        """Which units judge."""
        return np.repeat(np.array(self.judges_by, dtype=bool), [len(units) for units in self.units])

    def measure(self, name: str) -> Float[np.ndarray, " u"]:
        """A measure of every unit, nan where it is not defined."""
        nothing = [np.full(len(units), np.nan) for units in self.units]
        pairs = zip(self.judged, nothing, strict=True)
        return np.concatenate([none if one is None else one.measures.get(name, none) for one, none in pairs])

    def judges(self, name: str) -> Float[np.ndarray, "d u"] | None:
        """The same by other judges; None where each unit has its own."""
        if any(one is None or name not in one.judges for one in self.judged):
            return None
        return np.concatenate([one.judges[name] for one in self.judged if one is not None], axis=1)


def figures(lines: Sequence[Line], measures: Sequence[str], base: str, against: Sequence[str] = ()) -> list[Figure]:
    """A row for each line: what it measures on the problems that judge.

    `against`: the measures whose difference from the base's line is told, with its interval and Holm's p, and which are told
    of the problems that choices were made on, too.
    """
    differences = {name: compared(lines, name, base) for name in against}
    rows = []
    for line in lines:
        row: Figure = {"method": line.entry.label, "family": line.entry.family}
        for name in measures:
            row |= _interval(line, name, beside=name in against)
        for name in against:
            if line.entry.label in differences[name]:
                row[f"{name} minus {base}"] = _told(differences[name][line.entry.label])
        row |= costs(line)
        row |= {} if line.needs is None else {"needs at least": line.needs}
        scatter = next((one.scatter for one in line.judged if one is not None and one.scatter is not None), None)
        row |= {} if scatter is None else {"scatter": scatter.tolist()}
        wrong, paid = (list(itertools.chain(*column)) for column in (line.wrong, line.costs))
        if wrong:
            row["not measured"] = f"{len(wrong)} of {len(wrong) + len(paid)}: {wrong[0]}".replace("|", "/")
        rows.append(row)
    return rows


def _interval(line: Line, name: str, beside: bool) -> Figure:
    all_units, chosen = line.measure(name), ~line.judging
    each = np.where(line.judging, all_units, np.nan)
    if not np.isfinite(all_units).any():
        return {}
    judges = line.judges(name)
    if judges is None:
        mean, low, high = interval(each, line.groups)
        if name.startswith(SHARES) and low == high:
            low, high = of_equals(mean, _count(each, line.groups))
        least, most = (0, 1) if name.startswith(SHARES) else (-1, 1) if name.startswith(CORRELATIONS) else (-np.inf, np.inf)
        low, high = max(low, least), min(high, most)
    else:
        mean, low, high, _ = metrics.two_way_comparison(each, judges, line.groups)
    row: Figure = {name: mean} if np.isfinite(mean) else {}
    row |= {f"{name} 95 %": f"{low:.2f} to {high:.2f}"} if np.isfinite(low) else {}
    row |= {f"{name} n": _count(each, line.groups)} if np.isfinite(mean) else {}
    if beside and np.isfinite(all_units[chosen]).any():
        row[f"{name}, chosen on"] = float(np.nanmean(all_units[chosen]))
    return row


def of_equals(share: float, n: int) -> tuple[float, float]:
    """The interval of a share of which all n units say the same: of 0 and 1 as Clopper and Pearson have it, else unknown.

    That all of n are right happens in 2.5 % where `0.025^(1/n)` are.

    >>> [round(bound, 2) for bound in of_equals(1.0, 37)]
    [0.91, 1.0]
    """
    beyond = (LEVEL / 2) ** (1 / n)
    return (beyond, 1.0) if share == 1 else (0.0, 1 - beyond) if share == 0 else (share, share)


def _count(each: Float[np.ndarray, " u"], groups: Sequence[str]) -> int:
    """How many groups have a measure."""
    return len({group for group, value in zip(groups, each, strict=True) if np.isfinite(value)})


def interval(each: Float[np.ndarray, " u"], groups: Sequence[str]) -> Interval:
    """The mean of the units that have a measure, and its 95 % interval over groups; no bounds for fewer than `FEW` groups.

    Bootstrap-t (Efron and Tibshirani 1993, 12.5), nowhere narrower than Student's t: of 4 to 12 skewed differences it covers 92
    to 97 %, where percentiles cover 72 to 90 %; where half of four are ties, 82 %.
    """
    known = np.isfinite(each)
    group = np.unique(np.asarray(groups)[known], return_inverse=True)[1]
    sums, sizes = np.bincount(group, each[known]), np.bincount(group)
    mean, g = float(sums.sum() / sizes.sum()) if len(sums) else np.nan, len(sums)
    if g < FEW:
        return Interval(mean, np.nan, np.nan)
    times = _draws(g)
    apart, drawn = sums - mean * sizes, times @ sizes
    shift = times @ apart / drawn  # of the drawn means from the mean
    within = times @ apart**2 - 2 * shift * (times @ (apart * sizes)) + shift**2 * (times @ sizes**2)
    errors = np.sqrt(g / (g - 1) * np.maximum(within, 0)) / drawn
    error = math.sqrt(g / (g - 1) * float(apart @ apart)) / sizes.sum()
    varies = errors > 1e-6 * error
    if not varies.any():
        return Interval(mean, mean, mean)
    low, high = np.quantile(shift[varies] / errors[varies], [LEVEL / 2, 1 - LEVEL / 2])
    least = float(stats.t.ppf(1 - LEVEL / 2, g - 1))
    return Interval(mean, mean - max(high, least) * error, mean - min(low, -least) * error)


@lru_cache(maxsize=8)
def _draws(g: int) -> Int[np.ndarray, "d g"]:
    """How often each of g groups is drawn, in every resampling."""
    return np.random.default_rng(0).multinomial(g, np.full(g, 1 / g), size=DRAWS)


def compared(lines: Sequence[Line], name: str, base: str) -> dict[str, Comparison]:
    """Each line's mean difference from the base on the units that both have, p-values after Holm; nothing without a base.

    What cannot do with the budget is not compared.
    """
    theirs = next((line for line in lines if line.entry.label == base), None)
    if theirs is None:
        return {}
    others = [line for line in lines if line is not theirs and line.entry.method is not None and line.needs is None]
    found = {line.entry.label: _difference(line, theirs, name) for line in others}
    found = {name: one for name, one in found.items() if np.isfinite(one.difference)}
    adjusted = metrics.holm([one.p_value for one in found.values()])
    return {name: one._replace(p_value=p) for (name, one), p in zip(found.items(), adjusted, strict=True)}


def _difference(line: Line, base: Line, name: str) -> Comparison:
    mine, theirs = (np.where(one.judging, one.measure(name), np.nan) for one in (line, base))
    judges = [one.judges(name) for one in (line, base)]
    if judges[0] is None or judges[1] is None:
        _, low, high = interval(mine - theirs, line.groups)
        return metrics.paired_comparison(mine, theirs, line.groups)._replace(low=low, high=high)
    return metrics.two_way_comparison(mine - theirs, judges[0] - judges[1], line.groups)


def _told(one: Comparison) -> str:
    interval = f" ({one.low:+.2f} to {one.high:+.2f}, p {one.p_value:.2g})" if np.isfinite(one.low) else ""
    return f"{one.difference:+.2f}{interval}"


def real(lines: Sequence[Line], name: str, base: str, unit: str) -> str:
    """Which differences from the base are real, in a sentence; `unit`: what is drawn, in the plural."""
    found = compared(lines, name, base)
    if not found:
        return f"{name}: there is nothing to compare with {base}."
    line = next(line for line in lines if line.entry.label == base)
    count = _count(np.where(line.judging, line.measure(name), np.nan), line.groups)
    sure = {entry: one.difference for entry, one in found.items() if one.p_value < LEVEL}
    above, below = ([entry for entry in sure if (sure[entry] > 0) is is_above] for is_above in (True, False))
    told = [f"{side} it: {', '.join(names)}" for side, names in (("above", above), ("below", below)) if names]
    left = len(found) - len(sure)
    told += [f"{left if sure else 'none of ' + str(left)} can{'not' if sure else ''} be told from it"] if left else []
    least = math.floor(math.log2(2 * len(found) / LEVEL)) + 1  # p is 2 / 2^units at least
    if count < least:
        told.append(f"so few {unit} can tell nothing: it takes {least}")
    dear = [f"{line.entry.label} ({line.needs} at least)" for line in lines if line.needs is not None]
    told += [f"not compared, since they need more than the budget: {', '.join(dear)}"] if dear else []
    units = unit.removesuffix("s") if count == 1 else unit
    return f"{name} beside {base} ({count} {units}, Holm's correction at {LEVEL:.0%}): {'; '.join(told)}."


def costs(line: Line) -> Figure:
    """Mean counts, and the median seconds, since what is used the first time is loaded then."""
    row: Figure = {}
    for name in COSTS:
        known = [one[name] for one in itertools.chain(*line.costs) if name in one and np.isfinite(one[name])]
        if known:
            row[name] = float(np.median(known)) if name == "CPU s" else round(float(np.mean(known)))
    return row


def agreement(scores: Mapping[str, Mapping[str, np.ndarray]]) -> list[Figure]:
    """Kendall's tau of each two lines' scores [t, n] of a problem, the mean over targets where it is defined."""

    def tau(one: str, other: str) -> float | None:
        shared = scores[one].keys() & scores[other].keys()
        each = np.concatenate(
            [metrics.kendall(scores[one][name], scores[other][name]) for name in sorted(shared)] or [[np.nan]]
        )
        return float(np.nanmean(each)) if np.isfinite(each).any() else None

    ranked = [name for name in scores if tau(name, name) is not None]  # not what gives all sources the same score
    return [{"method": one} | {other: tau(one, other) for other in ranked} for one in ranked]
