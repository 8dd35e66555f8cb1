"""What the pictures of the results show: which parts of which benchmarks, as panels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import fill

import numpy as np

from eval.harness.record import Figure
from eval.report.tables import curve, family, is_limit, limit, number, ordered, short
from eval.report.views import REFERENCE, Parts, main_parts, title

TITLES = {
    "lds_cost": "LDS against cost",
    "recall_rank": "Recall against rank",
    "agreement": "Agreement between methods",
}
SCATTER = "_scatter"  # after a benchmark's name, the picture of what its scores foretold
MOST = 24  # panels of such a picture
COSTS = {  # the first that a part has is its cost
    "tokens": "tokens forwarded for one answer",
    "passes": "forward passes for one answer",
    "CPU s": "CPU seconds for all queries",
    "seconds": "seconds",
}


@dataclass(frozen=True)
class Panel:
    """A part of a benchmark as a picture shows it.

    `limit`: a name and the LDS that methods are held against; `curves`: (cost, LDS) of the methods that have several budgets.
    """

    title: str
    rows: Sequence[Figure]
    cost: str = ""
    limit: tuple[str, float] | None = None
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


def panels(results: Mapping[str, Parts]) -> dict[str, list[Panel]]:
    """What each picture would show; none is without panels."""
    found: dict[str, list[Panel]] = {name: [] for name in TITLES}
    for file, record in results.items():
        names = [name for name in main_parts(file, record) if name != "families"]  # it repeated the others' rows
        for name in names:
            found["lds_cost"] += _cost_panel(title(file, name, record[name]), record[name], curve(record, name)["figures"])
            found["recall_rank"] += _recall_panel(title(file, name, record[name]), record[name]["figures"])
            most = MOST // len(names)
            found[file + SCATTER] = found.get(file + SCATTER, []) + _scatter_panels(record[name], most, name)
        for name, part in record.items():
            rows = [row for row in part["figures"] if "method" in row]
            if (
                name.endswith("agreement")
                and len(rows) > 1
                and not any(_same_methods(rows, panel.rows) for panel in found["agreement"])
            ):
                found["agreement"].append(Panel(title(file, name, part), rows))
    return {name: shown for name, shown in found.items() if shown}


def _same_methods(rows: Sequence[Figure], others: Sequence[Figure]) -> bool:
    """Whether most of the methods are those of the other matrix: one picture of them is enough."""
    shared = {row["method"] for row in rows} & {row["method"] for row in others}
    return len(shared) > len(rows) / 2


def _cost_panel(name: str, part: Parts, curves: Sequence[Figure]) -> list[Panel]:
    rows = [row for row in part["figures"] if number(row.get("LDS")) is not None and "method" in row]
    cost = next((cost for cost in COSTS if sum(number(row.get(cost)) is not None for row in rows) > 1), None)
    if cost is None:
        return []
    kept = [row for row in rows if number(row.get(cost)) is not None and not is_limit(row)]
    points: dict[str, list[tuple[float, float]]] = {row["method"]: [] for row in kept}
    for row in curves:
        if row["method"] in points and number(row.get(cost)) and number(row.get("LDS")) is not None:
            points[row["method"]].append((row[cost], row["LDS"]))
    joined = {method: sorted(found) for method, found in points.items() if len(found) > 1}
    return [Panel(name, ordered(kept), cost, limit(part), joined)]


def _recall_panel(name: str, rows: Sequence[Figure]) -> list[Panel]:
    """Methods, and random scores for comparison."""
    drawn = [row for row in rows if len(recall(row)) > 1 and (family(row) != REFERENCE or row["method"] == "random")]
    return [Panel(name, drawn)] if drawn else []


def recall(row: Figure) -> np.ndarray:
    """Recall by rank, [k, 2]: as older runs kept it, or from the columns."""
    ranks = [(int(name[2:]), row[name]) for name in row if re.fullmatch(r"R@\d+", name) and number(row[name]) is not None]
    return np.array(row.get("recall") or sorted(ranks), dtype=float)


def _scatter_panels(part: Parts, most: int, name: str) -> list[Panel]:
    """A panel for each method whose LDS is known; where there are too many, those of the highest."""
    drawn = [row for row in part["figures"] if row.get("scatter") and number(row.get("LDS")) is not None]
    best = sorted(drawn, key=lambda row: -row["LDS"])[:most]
    first = "TINY: " * bool(part.get("tiny")) + f"{name}: " * (name != "table")
    return [Panel(f"{fill(first + row['method'], 26)}\nLDS {short(row['LDS'])}", [row]) for row in ordered(best)]
