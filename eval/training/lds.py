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
from eval.training import data, peers, scoring
from eval.training.world import AGAIN, CEILING, Size, column
from eval.training.worlds import MODELS, OPTIONS, TINY, named, own, public, told, world
from llmattr.errors import LlmattrError

SIZE = Size(held_out=64)
CAPITALS, FACTS = "countries", 60
STEPS = 100  # of each training


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """Capitals, facts of a public set or of one's own; all methods."""
    full, tiny, rates = given["full"], given["tiny"], rates_of(given["rates"])
    name = given["name"] or CAPITALS
    facts = own(given, must_state=False) or _facts(name, 4 if tiny else given["count"], full and not tiny)
    usual = name == CAPITALS and not (tiny or full or given["train"] or given["steps"])
    recipe = {"learning_rate": "auto", **({"steps": STEPS} if usual else {})}
    of = Path(given["train"]).stem if given["train"] else name
    made = world(given, folder, facts, of=of, size=TINY if tiny else SIZE, rates=rates, recipe=recipe)
    asked = budgets(given["budget"], (12,) if tiny else (500,) if full else MODELS)
    found = scoring.lines(split(given["methods"]), asked, made.size.runs)
    return Plan(
        about=" ".join((__doc__ or "").split()),
        problems=[made],
        entries=[*found, *peers.lines(given["peers"]), Entry(AGAIN), Entry(CEILING)],
        measures=(*map(column, rates), "LDS, chosen on", "QLD", "counterfactual error"),
        base="datamodel",
        against=("LDS",),
        unit="facts",
        budgets=asked,
        called=named(given, CAPITALS),
        notes=told,
    )


def _facts(name: str, count: int | None, full: bool) -> data.Facts:
    """Of countries only their capitals, unless everything is asked for; of other sets as many as can be trained on again."""
    if name != CAPITALS:
        return public(name, count or FACTS)
    return data.countries(count or 60) if full else data.countries(count or 30, ("capital",))


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
command = benchmark("lds", __doc__ or "", plan, RESULTS / "lds.json", RATES, peers.OPTION, *OPTIONS)
