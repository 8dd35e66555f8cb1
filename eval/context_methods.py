"""What the context benchmark compares: every method of the package, random scores, the linear ceiling, and the curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.context_judge import DROPS, Case, as_numbers, metered
from llmattr import metrics
from llmattr.context import METHODS
from llmattr.method import describe, find_method

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

Outcome = dict[str, Any]  # values [t, n], measures (lists over targets), cost
Measure = Callable[[Case], Outcome]


@dataclass(frozen=True)
class Entry:
    """One line of a table, named by its label. `options` tell its results from older ones; `part` is "methods" or "curve"."""

    label: str
    measure: Measure
    options: dict[str, Any] = field(default_factory=dict)
    part: str = "methods"


def entries(chosen: Sequence[str], n_ceiling: int, sizes: Sequence[int]) -> list[Entry]:
    """The lines for these methods, between random scores and the linear ceiling, and the points of the curve."""
    methods = [of_method(name, options) for name in chosen for options in SETTINGS.get(name, [{}])]
    ceiling = {"n_ablations": n_ceiling, "bootstraps": 0}
    fits = {label: fit for label, fit in CURVE.items() if fit[0] in chosen}
    points = [
        of_method(name, {**options, "n_ablations": n, "bootstraps": 0}, label, "curve")
        for n in sizes
        for label, (name, options) in fits.items()
        if n <= FEW or "prior" not in options
    ]
    ends = [Entry("gold sentences", gold), of_method("ridge", ceiling, "linear ceiling")]
    return [Entry("random", random), *methods, *ends, *points]


def of_method(name: str, options: dict[str, Any], label: str = "", part: str = "methods") -> Entry:
    """What this method finds, and at what cost; of a point of the curve only its LDS."""
    method = METHODS[name](**options)
    label = label or ", ".join([name, *(f"{key} {value}" for key, value in options.items() if key != "n_ablations")])

    def measure(case: Case) -> Outcome:
        with metered(case.ablation) as ablation:
            found = find_method(method, METHODS).attribute(ablation, 0)
        costs = {**ablation.cost, "values": found.values.tolist()}
        if part == "curve":
            return {**costs, "measures": case.prediction(found.values, drops=())}
        support = case.support(found.values, found.cited if found.can_cite and options.get("bootstraps", 1) else None)
        return {**costs, "measures": {**case.prediction(found.values), **support}}

    return Entry(label, measure, describe(method), part)


def random(case: Case) -> Outcome:
    """Scores from the normal distribution: the mean over 100 draws, of drops over 4; for gold sentences a random order."""
    draws = np.random.default_rng(0).normal(size=(100, len(case.ablation.targets), len(case.ablation.sources)))
    lds = np.mean([metrics.lds(values, *case.held_out) for values in draws], axis=0)
    drops = np.mean([metrics.deletion_curve(values, case.ablation, list(DROPS)) for values in draws[:4]], axis=0)
    measures = {"LDS": lds, **{f"drop {k}": drops[:, column] for column, k in enumerate(DROPS)}}
    return {"passes": 0, "tokens": 0, "measures": {**as_numbers(measures), **case.support(np.zeros_like(draws[0]))}}


def gold(case: Case) -> Outcome:
    """1 for what people marked as supporting, 0 for the rest: what states the answer need not be what changes it."""
    if not case.question.gold.any():
        return {"skipped": "no gold sentences"}
    values = np.tile(case.question.gold.astype(float), (len(case.ablation.targets), 1))
    return {"passes": 0, "tokens": 0, "measures": {**case.prediction(values), **case.support(values, values > 0)}}
