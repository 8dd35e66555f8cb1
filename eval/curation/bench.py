"""Curation: which signals find wrong answers that were planted in a training set? `python -m eval curation`.

In 5, 10 and 20 % of the rows the answer is another one's, has been exchanged with another row's, or has one wrong part in a
true sentence. A small model is trained on the rows; what it doubts after a third of the steps, to the end, or without the row
is judged by the area under precision and recall.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from eval import RESULTS
from eval.curation.case import ERRORS, LINES, Error, PlantedSet, Size
from eval.harness.contract import Entry
from eval.harness.entries import DRAWS
from eval.harness.run import Plan, benchmark, split
from llmattr.errors import LlmattrError

TINY = Size(countries=6, steps=12, bags=12)
NOTES = (
    "AP: the area under precision and recall of the wrong rows (AUPRC), for random scores about the share that is "
    "wrong; intervals over draws of the sets. Signals without another word are those of a model after a third of its steps.",
)


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """Sets of each kind, share and draw, and every signal."""
    tiny = given["tiny"]
    kinds, shares = split(given["kinds"]) or list(ERRORS), shares_of(given["shares"])
    wanted = split(given["methods"]) or list(LINES)
    for what, words, known in (("kind of error", kinds, ERRORS), ("signal", wanted, LINES)):
        if unknown := [word for word in words if word not in known]:
            raise LlmattrError(f"there is no {what} {unknown[0]!r}; there are {', '.join(known)}")
    draws = given["draws"] or (1 if tiny else 10 if given["full"] else 4)
    size = TINY if tiny else Size()
    sets = [PlantedSet(cast(Error, kind), share, draw, size) for draw in range(draws) for kind in kinds for share in shares]
    return Plan(
        about=" ".join((__doc__ or "").split("\n\n")[1].split()),
        problems=sets,
        entries=[*(Entry(name) for name in LINES if name in wanted), *(Entry("random", seed=seed) for seed in range(DRAWS))],
        measures=("AP", "AUROC", "P@wrong"),
        base="random",
        against=("AP",),
        unit="sets",
        notes=lambda measured: [f"{len(measured)} sets of {len(measured[0].planted[0])} rows.", *NOTES],
        parts={f"{share:.0%} wrong": lambda one, share=share: one.share == share for share in shares},
    )


def shares_of(given: str) -> tuple[float, ...]:
    """The shares of the rows that are made wrong."""
    try:
        shares = tuple(float(share) for share in split(given))
    except ValueError:
        raise LlmattrError(f"--shares are numbers with commas between, not {given!r}") from None
    if not shares or not all(0 < share < 0.5 for share in shares):
        raise LlmattrError("--shares lie between 0 and 0.5")
    return shares


OPTIONS = (
    click.option("--kinds", default="", help=f"Some kinds of errors, with commas between: {', '.join(ERRORS)}."),
    click.option("--shares", default="0.05,0.1,0.2", show_default=True, help="Shares of the rows that are made wrong."),
    click.option("--draws", type=click.IntRange(min=1), help="Sets of each kind and share (4)."),
)
command = benchmark("curation", __doc__ or "", plan, RESULTS / "curation.json", *OPTIONS)
