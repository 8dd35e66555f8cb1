"""Context attribution compared: `python -m eval context`.

Every method of `llmattr.context.METHODS` on questions with documents: does it foretell ablations that it has not seen (LDS),
is something lost without its best sources (drop), does it find the sentences that people marked, and what does it cost?
What is measured goes to a JSON lines file beside the results at once, and every ablation to a folder there, so that a run that
was stopped goes on from what it has.
"""

from pathlib import Path
from typing import Any

import click

from eval.context.measure import Bench, Measured, begin, measure, options, right_answers
from eval.context.methods import entries
from eval.context.tables import (
    AGREEMENT,
    PREDICTION,
    REACH,
    SUPPORT,
    agreement,
    curve,
    plot,
    prediction,
    reach,
    support,
)
from eval.harness.command import Section, plain_name, publish, refusing, said
from eval.harness.record import circumstances
from llmattr.context import METHODS


@click.command("context", help=__doc__)
@options
@click.option("--gold-answers", is_flag=True, help="Attribute the answer that the data gives, not the model's own.")
def command(methods: list[str], gold_answers: bool, **given: Any) -> None:
    """Measure what is not measured yet, print the tables and save them."""
    with refusing():
        bench, found, notes = begin("context", gold_answers, given)
        how = circumstances(said())
        rows = measure(bench, found, entries(methods or list(METHODS), bench.size.ceiling, bench.size.curve))
        publish("context", tables(bench, rows, [*notes, *right_answers(rows)], bench.out.with_suffix(".svg")), how, bench.out)


def tables(bench: Bench, rows: list[Measured], notes: list[str], picture: Path) -> dict[str, Section]:
    """The parts of the results; also draws the plot."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    answers = "the answers that the data gives" if bench.gold_answer else "its own answers"
    about = f"{plain_name(bench.model)} and {answers}, {{}}."
    figures, points = prediction(rows), curve(rows)
    if not plot(figures, points, picture, about.format(", ".join(sets))):
        notes = [*notes, "No plot: matplotlib is not installed."]
    parts = {
        "prediction": Section(about.format(", ".join(sets)), figures, [*notes, *PREDICTION]),
        "reach": Section(about.format(", ".join(sets)), reach(rows), list(REACH)),
        "support": Section(about.format(", ".join(sets)), support(rows), list(SUPPORT)),
        "agreement": Section(about.format(", ".join(sets)), agreement(rows), list(AGREEMENT)),
        "curve": Section(about.format("fits on nested masks"), points),
    }
    for name in sets if len(sets) > 1 else ():
        own = [row for row in rows if row["set"] == name]
        parts |= {f"prediction, {name}": Section(about.format(name), prediction(own))}
        parts |= {f"support, {name}": Section(about.format(name), support(own))}
    return parts


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval context")
