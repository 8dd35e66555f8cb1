"""Prediction, of every training method: do its scores foretell models trained on parts of the data? `python -m eval lds`.

The same model is trained on random parts of the rows (half of them, and nine tenths), and each method's scores are judged by
the rank correlation of their sums with what these models say (LDS), beside the ceiling that the noise between seeds leaves.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from eval import RESULTS
from eval.harness.command import Section, check, publish, refusing, said, with_options
from eval.harness.parts import quiet_thread
from eval.harness.record import Figure, circumstances
from eval.training import data as facts_data
from eval.training.measure import OPTIONS, Bench, Found, Size, agreement, as_words, column, ends, figures, prediction
from eval.training.methods import named, scored
from llmattr import metrics
from llmattr.errors import LlmattrError
from llmattr.retraining import Recipe
from llmattr.text.rows import read_queries, read_rows

OUT = RESULTS / "lds.json"
SIZE, TINY = Size(models=200, held_out=64), Size(models=12, held_out=6, runs=2)
RATES = (0.5, 0.9)


def compared(bench: Bench, wanted: Sequence[str], rates: Sequence[float]) -> tuple[list[Figure], list[Figure], list[str]]:
    """The table, the methods' agreement, and notes."""
    lines = scored(bench, wanted)
    table = figures(lines, lambda name, found: judged(bench, found, rates))
    known = [line for line in table if "LDS" in line]
    best = max(known, key=lambda line: line["LDS"])
    for line in known:
        if line is not best and len(bench.queries) > 1:
            it = metrics.paired_comparison(*(np.array(one["LDS each"]) for one in (line, best)))
            line[f"LDS minus {best['method']}'s"] = f"{it.difference:+.2f} ({it.low:+.2f} to {it.high:+.2f})"
    notes = [
        f"{len(bench.rows)} rows, {len(bench.queries)} queries; a query's completion has the probability "
        f"{np.exp(np.median(bench.whole)):.2f} in the median when the model is trained on all rows.",
        f"{bench.size.held_out} held-out models for each share of the rows; {bench.size.models} for methods that are fitted on "
        "models. Counterfactual error: mean difference in nats between what is foretold of a held-out model and what it says.",
        "CPU s: the method's own, and that of the models that it needs, as if it were alone; bytes are what it keeps.",
    ]
    return [*table, *ends(bench, rates)], agreement(lines), notes


def judged(bench: Bench, found: Found, rates: Sequence[float]) -> Figure:
    """LDS at every rate, and how far off predictions are, where a method makes any."""
    masks, outputs = bench.held_out()
    predicted = found.predicted(masks)
    error = (
        {} if predicted is None else {"counterfactual error": float(metrics.counterfactual_error(predicted, outputs).mean())}
    )
    return prediction(bench, found, rates) | error


@click.command("lds", help=__doc__)
@click.option("--tiny", is_flag=True, help="A few facts and models, to see that everything runs. Needs --out.")
@click.option("--full", is_flag=True, help="180 facts of 60 countries and 500 models: half a day of one core.")
@click.option("--train", help="Your rows: a file or hub id with prompt and completion, text, or messages.")
@click.option("--queries", help="Your queries, of the same form.")
@click.option("--models", type=click.IntRange(min=2), help=f"Models that datamodels are fitted on ({SIZE.models}).")
@click.option("--held-out", type=click.IntRange(min=4), help=f"Models that judge, of each share of the rows ({SIZE.held_out}).")
@click.option("--rates", default=",".join(map(str, RATES)), show_default=True, help="Shares of the rows that they keep.")
@with_options(OPTIONS)
def command(**given: Any) -> None:
    """Train, score, judge, print a table, and save it."""
    check(given)
    how = circumstances(said())
    with refusing(), quiet_thread():
        _run(given, given["out"] or OUT, how)


def _run(given: dict[str, Any], out: Path, how: Figure) -> None:
    rates = _rates(given["rates"])
    if given["train"]:
        rows, queries = read_rows(given["train"]), read_queries(given["queries"])
    else:
        count, columns = (
            (4, ("capital",)) if given["tiny"] else (60, tuple(facts_data.WAYS)) if given["full"] else (30, ("capital",))
        )
        facts = facts_data.countries(count, columns)
        rows, queries = facts.rows, facts.queries
    size = TINY if given["tiny"] else dataclasses.replace(SIZE, models=500) if given["full"] else SIZE
    size = dataclasses.replace(size, **{key: given[key] for key in ("models", "held_out") if given[key] is not None})
    steps = given["steps"] or (30 if given["tiny"] else "auto" if given["train"] or given["full"] else 100)
    recipe = Recipe(steps=steps, batch_size=32 if given["model"] == "scratch" else 8)
    rows, queries = (as_words(part, given["model"]) for part in (rows, queries))
    bench = Bench(rows, queries, recipe, out.with_suffix(".runs"), size, given["model"], given["jobs"])
    bench.claim(given["again"])
    wanted = named(given["methods"])
    found, agreed, notes = compared(bench, wanted, rates)
    parts = {
        "lds": Section(" ".join((__doc__ or "").split()), found, notes),
        "agreement": Section("Kendall's tau of two methods' scores of all rows.", agreed),
    }
    publish("lds", parts, how, out)


def _rates(given: str) -> list[float]:
    try:
        rates = [float(rate) for rate in given.split(",")]
    except ValueError:
        raise LlmattrError(f"--rates are numbers with commas between, not {given!r}") from None
    if not all(0 < rate < 1 for rate in rates) or column(0.5) not in map(column, rates):
        raise LlmattrError("--rates are between 0 and 1, and 0.5 is one of them")
    return rates


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval lds")
