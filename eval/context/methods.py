"""What the context benchmarks compare: every method of the package, random scores, the linear ceiling, and the curve."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from eval.context.judge import DROPS, Case, Measures, as_numbers, metered
from llmattr import metrics
from llmattr.context import METHODS
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, find_method
from llmattr.metrics.shapes import Scores

# Options for tables in which methods that draw ablations have 64, a line for each; what is not named has its defaults.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "context-cite": [{}, {"alpha": 0.01}],
    "shapley": [{"n_ablations": 64}],
    "banzhaf": [{"n_ablations": 64}],
    "at2": [{"n_ablations": 64}],
}
CURVE: dict[str, tuple[str, dict[str, Any]]] = {
    "lasso, alpha .01 (context-cite 0.0.4)": ("context-cite", {"alpha": 0.01}),
    "lasso": ("context-cite", {}),
    "ridge": ("ridge", {}),
    "blend": ("blend", {}),
    "blend around gates": ("blend", {"prior": "gates"}),
    "blend around hidden": ("blend", {"prior": "hidden"}),
}

FEW = 64  # a prior is for few ablations

Outcome = dict[str, Any]  # values [t, n], cited [t, n], measures (lists over targets), recall, passes, tokens, seconds
Measure = Callable[[Case], Outcome]
Cited = Bool[np.ndarray, "t n"]


@dataclass(frozen=True)
class Entry:
    """One line of a table, named by its label. `options` tell its results from older ones.

    `part` says what is measured: "methods" (all), "curve" (LDS) or "citations" (support alone).
    """

    label: str
    measure: Measure
    options: dict[str, Any] = field(default_factory=dict)
    part: str = "methods"


def entries(chosen: Sequence[str], n_ceiling: int, sizes: Sequence[int]) -> list[Entry]:
    """The lines for these methods, between random scores and the linear ceiling, and the points of the curve."""
    methods = [of_method(name, options) for name in _judged(chosen) for options in SETTINGS.get(name, [{}])]
    ceiling = {"n_ablations": n_ceiling, "bootstraps": 0}
    fits = {label: fit for label, fit in CURVE.items() if fit[0] in chosen}
    points = [
        of_method(name, {**options, "n_ablations": n, "bootstraps": 0}, label, "curve")
        for n in sizes
        for label, (name, options) in fits.items()
        if n <= FEW or "prior" not in options
    ]
    return [random(), *methods, gold(), of_method("ridge", ceiling, "linear ceiling"), *points]


def _judged(chosen: Sequence[str]) -> list[str]:
    """The methods that get a line; that of random scores is the mean over many draws (`random`)."""
    return [name for name in chosen if name != "random"]


def citing_entries(chosen: Sequence[str]) -> list[Entry]:
    """The lines for these methods where only what they find counts, between random scores and the gold sentences."""
    methods = [of_method(name, options, part="citations") for name in _judged(chosen) for options in SETTINGS.get(name, [{}])]
    return [random("citations"), *methods, gold("citations")]


def of_method(name: str, options: dict[str, Any], label: str = "", part: str = "methods") -> Entry:
    """What this method finds, and at what cost."""
    method = METHODS[name](**options)
    label = label or ", ".join([name, *(f"{key} {value}" for key, value in options.items() if key != "n_ablations")])

    def measure(case: Case) -> Outcome:
        with metered(case.ablation) as ablation:
            started = time.process_time()
            found = find_method(method, METHODS).attribute(ablation, 0)
            seconds = ablation.alone(time.process_time() - started)
        costs = {**ablation.cost, "seconds": seconds if math.isfinite(seconds) else None}
        cited = found.cited if found.can_cite and options.get("bootstraps", 1) else None
        return {**costs, **judged(case, part, found.values, cited, found)}

    return Entry(label, measure, describe(method), part)


def judged(case: Case, part: str, values: Scores, cited: Cited | None = None, found: Attribution | None = None) -> Outcome:
    """The measures of a part; `found` is what can say what it foretells."""
    outcome: Outcome = {"values": values.tolist()}
    if part == "curve":
        return {**outcome, "measures": case.prediction(values, drops=())}
    predicted = case.prediction(values) | ({} if found is None else case.counterfactual(found)) if part == "methods" else {}
    outcome |= {"cited": cited.tolist()} if cited is not None else {}
    return {**outcome, "measures": {**predicted, **case.support(values, cited)}, "recall": case.recall(values)}


def random(part: str = "methods") -> Entry:
    """Scores from the normal distribution: the mean over 100 draws, of drops over 4; for gold sentences a random order."""

    def measure(case: Case) -> Outcome:
        nothing = np.zeros((len(case.ablation.targets), len(case.ablation.sources)))
        predicted = _predicted_by_chance(case) if part == "methods" else {}
        support = {"measures": {**predicted, **case.support(nothing)}, "recall": case.recall(nothing)}
        return {"passes": 0, "tokens": 0, "seconds": 0.0, **support}

    return Entry("random", measure, part=part)


def _predicted_by_chance(case: Case) -> Measures:
    draws = np.random.default_rng(0).normal(size=(100, len(case.ablation.targets), len(case.ablation.sources)))
    lds = np.mean([metrics.lds(values, *case.held_out) for values in draws], axis=0)
    drops = np.mean([metrics.deletion_curve(values, case.ablation, list(DROPS)) for values in draws[:4]], axis=0)
    return as_numbers({"LDS": lds, **{f"drop {k}": drops[:, column] for column, k in enumerate(DROPS)}})


def gold(part: str = "methods") -> Entry:
    """1 for what people marked as supporting, 0 for the rest: what states the answer need not be what changes it."""

    def measure(case: Case) -> Outcome:
        if not case.question.gold.any():
            return {"skipped": "no gold sentences"}
        values = np.tile(case.question.gold.astype(float), (len(case.ablation.targets), 1))
        return {"passes": 0, "tokens": 0, "seconds": 0.0, **judged(case, part, values, values > 0)}

    return Entry("gold sentences", measure, part=part)
