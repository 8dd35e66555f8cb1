"""What the page of a training set shows: the kinds of what was found, in the order in which one would act, and their rows.

Without scripts: a radio button chooses a kind, another the order of its rows (CSS's `order`), a third those of other kinds too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.curation.finding import KINDS, Curation, Finding
from llmattr.report.curation import of_kind, rows_of, signals_of
from llmattr.report.html import environment
from llmattr.text.rows import prompt_and_completion, row_text

LISTED = 200  # rows of a kind
BINS = 24


@dataclass(frozen=True)
class Shown:
    """A row as a reader sees it, with the one that stays in its place, where there is one.

    `also`: the other kinds that it is of. `places`: where it stands in each of the page's orders.
    """

    name: str
    why: str
    prompt: str
    completion: str
    other: str
    signals: dict[str, int]
    also: list[str]
    places: list[int]


@dataclass(frozen=True)
class Kind:
    """A kind with its first rows. `percent`: its share of all rows."""

    name: str
    meaning: str
    count: str
    percent: float
    rows: list[Shown]
    more: int


def page(found: Curation) -> str:
    """The whole HTML document: self-contained, without scripts, every text escaped."""
    n = len(found.rows)
    orders = {"by place": range(n), "longest first": _places(np.array([float(len(row_text(row))) for row in found.rows]))}
    orders |= {f"most suspect by {name}": _places(values) for name, values in found.signals.items()}
    of = _kinds_of(found.findings)
    kinds = [_kind(found, name, count, of, [*orders.values()]) for name, count in found.counts().items()]
    view: dict[str, Any] = {
        "kinds": kinds,
        "rows": rows_of(n),
        "touched": rows_of(len({one.row for one in found.findings})),
        "orders": [*orders],
        "several": any(len(names) > 1 for names in of.values()),
        "signals": {name: _histogram(values) for name, values in found.signals.items()},
        "agreement": found.agreement(),
        "chosen": {kind: [found.name(row) for row in rows[:LISTED]] for kind, rows in found.chosen.items()},
    }
    run = {key: value for key, value in found.run.items() if key in ("model", "dtype")}
    a = {"run": run, "method": {"name": "texts and a model" if run else "texts alone"}}
    return environment().get_template("curation.html.j2").render(view, a=a, options=[], base=None)


def _kinds_of(findings: Sequence[Finding]) -> dict[int, list[str]]:
    """The kinds that each row is of, in their order."""
    of = {(one.row, one.kind) for one in findings}
    return {row: [kind for kind in KINDS if (row, kind) in of] for row in {one.row for one in findings}}


def _places(values: Float[np.ndarray, " n"]) -> list[int]:
    """Of each row how many have a higher value, equal ones in their order."""
    return np.argsort(np.argsort(-values, kind="stable")).tolist()


def _kind(found: Curation, name: str, count: int, of: Mapping[int, list[str]], orders: Sequence[Sequence[int]]) -> Kind:
    rows = [_shown(found, one, of[one.row], [order[one.row] for order in orders]) for one in of_kind(found, name)[:LISTED]]
    return Kind(name, KINDS[name], rows_of(count), round(100 * count / len(found.rows), 2), rows, count - len(rows))


def _shown(found: Curation, one: Finding, of: Sequence[str], places: list[int]) -> Shown:
    """`signals`: of each 100 rows so many are less suspect by it."""
    said = prompt_and_completion(found.rows[one.row])
    beside = found.other(one)
    other = "" if beside is None else f"{beside[0]}: {row_text(beside[1])}"
    signals = {name: round(100 * share) for name, share in signals_of(found, one.row).items()} if one.kind == "suspects" else {}
    also = [kind for kind in of if kind != one.kind]
    return Shown(found.name(one.row), one.why, said["prompt"], said["completion"], other, signals, also, places)


def _histogram(values: np.ndarray) -> list[float]:
    """How many rows have values in each of 24 equal parts, in percent of the fullest."""
    counts, _ = np.histogram(values, BINS)
    return [round(100 * count / max(counts), 1) for count in counts.tolist()]
