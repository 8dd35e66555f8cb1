"""Prediction, of every training method: do its scores foretell models trained on parts of the data? `python -m eval lds`.

The same model is trained on random parts of the rows (half of them, and nine tenths), and each method's scores are judged by
the rank correlation of their sums with what these models say (LDS), beside the ceiling that the noise between seeds leaves.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.harness.contract import Entry
from eval.harness.run import Plan, benchmark, budgets, split
from eval.training import data, scoring
from eval.training.world import AGAIN, CEILING, Size, column
from eval.training.worlds import MODELS, OPTIONS, TINY, own, told, world
from llmattr.errors import LlmattrError

SIZE = Size(held_out=64)


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """Capitals, or rows of one's own; all methods."""
    full, tiny, rates = given["full"], given["tiny"], rates_of(given["rates"])
    count, columns = (4, ("capital",)) if tiny else (60, tuple(data.WAYS)) if full else (30, ("capital",))
    facts = own(given, must_state=False) or data.countries(count, columns)
    recipe = {"learning_rate": "auto", **({} if tiny or full or given["train"] or given["steps"] else {"steps": 100})}
    of = Path(given["train"]).stem if given["train"] else "countries"
    made = world(given, folder, facts, of=of, size=TINY if tiny else SIZE, rates=rates, recipe=recipe)
    asked = budgets(given["budget"], (12,) if tiny else (500,) if full else MODELS)
    return Plan(
        about=" ".join((__doc__ or "").split()),
        problems=[made],
        entries=[*scoring.lines(split(given["methods"]), asked, made.size.runs), Entry(AGAIN), Entry(CEILING)],
        measures=(*map(column, rates), "LDS, chosen on", "QLD", "counterfactual error"),
        base="datamodel",
        against=("LDS",),
        unit="facts",
        budgets=asked,
        notes=told,
    )


def rates_of(given: str) -> tuple[float, ...]:
    """The shares of the rows that models which judge keep."""
    try:
        rates = tuple(float(rate) for rate in given.split(","))
    except ValueError:
        raise LlmattrError(f"--rates are numbers with commas between, not {given!r}") from None
    if not all(0 < rate < 1 for rate in rates) or 0.5 not in rates:
        raise LlmattrError("--rates are between 0 and 1, and 0.5 is one of them")
    return rates


RATES = click.option("--rates", default="0.5,0.9", show_default=True, help="Shares of the rows that models which judge keep.")
command = benchmark("lds", __doc__ or "", plan, RESULTS / "lds.json", RATES, *OPTIONS)
