"""What the page of a training set shows: the kinds of what was found, in the order in which one would act, and their rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmattr.curation.finding import KINDS, Curation, Finding
from llmattr.report.curation import of_kind, rows_of, signals_of
from llmattr.report.html import environment
from llmattr.text.rows import prompt_and_completion, row_text

LISTED = 200  # rows of a kind
BINS = 24


@dataclass(frozen=True)
class Shown:
    """A row as a reader sees it, with the one that stays in its place, where there is one."""

    name: str
    why: str
    prompt: str
    completion: str
    other: str
    signals: dict[str, int]


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
    kinds = [_kind(found, name, count) for name, count in found.counts().items()]
    view: dict[str, Any] = {
        "kinds": kinds,
        "rows": rows_of(n),
        "touched": rows_of(len({one.row for one in found.findings})),
        "signals": {name: _histogram(values) for name, values in found.signals.items()},
        "agreement": found.agreement(),
        "chosen": {kind: [found.name(row) for row in rows[:LISTED]] for kind, rows in found.chosen.items()},
    }
    run = {key: value for key, value in found.run.items() if key in ("model", "dtype")}
    a = {"run": run, "method": {"name": "texts and a model" if run else "texts alone"}}
    return environment().get_template("curation.html.j2").render(view, a=a, options=[], base=None)


def _kind(found: Curation, name: str, count: int) -> Kind:
    rows = [_shown(found, one) for one in of_kind(found, name)[:LISTED]]
    return Kind(name, KINDS[name], rows_of(count), round(100 * count / len(found.rows), 2), rows, count - len(rows))


def _shown(found: Curation, one: Finding) -> Shown:
    """`signals`: of each 100 rows so many are less suspect by it."""
    said = prompt_and_completion(found.rows[one.row])
    beside = found.other(one)
    other = "" if beside is None else f"{beside[0]}: {row_text(beside[1])}"
    signals = {name: round(100 * share) for name, share in signals_of(found, one.row).items()} if one.kind == "suspects" else {}
    return Shown(found.name(one.row), one.why, said["prompt"], said["completion"], other, signals)


def _histogram(values: np.ndarray) -> list[float]:
    """How many rows have values in each of 24 equal parts, in percent of the fullest."""
    counts, _ = np.histogram(values, BINS)
    return [round(100 * count / max(counts), 1) for count in counts.tolist()]
