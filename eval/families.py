"""The main comparison: every method of context and of training attribution, by kind. `python -m eval families`.

Support: do the highest scores find what states the answer? Prediction: do the scores foretell what happens without some of the
sources? Cost: what does it take? Corroborative methods compare texts; predictive ones look into the model; game-theoretic ones
and datamodels try parts of the sources. Contexts are cited for the answers that the model gives to questions; training rows are
traced for facts that a small model learned from them alone.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.context import bench
from eval.context.case import Size as ContextSize
from eval.harness.command import beside, check, publish, refusing, with_options
from eval.harness.entries import named
from eval.harness.jobs import environment
from eval.harness.parts import quiet_thread
from eval.harness.run import OPTIONS, Plan, measured, split
from eval.training import facts, scoring
from eval.training.world import Size
from llmattr.context import METHODS as CONTEXT
from llmattr.errors import LlmattrError

OUT = RESULTS / "families.json"
EXAMPLES = 5  # questions of each set that judge: what half an hour allows
ITERATIVE = ("cg", "lissa", "astra", "arnoldi", "stream")  # minutes for each query, or what others do faster
MORE = (
    click.option("--side", type=click.Choice(["both", "context", "training"]), default="both", help="Both, in two processes."),
    click.option("--model", default="smollm2", show_default=True, help="What is asked about contexts."),
    click.option("--data", help="Questions of your own, as for `context`."),
    click.option("--models", default="", help="Models that datamodels are fitted on (200); several, with commas, for a curve."),
    click.option("--train", help="Training rows of your own, as for `facts`."),
    click.option("--queries", help="Queries of your own, as for `facts`."),
)


def context_side(given: Mapping[str, Any], folder: Path) -> Plan:
    """A few short questions."""
    sets = "" if given["tiny"] or given["full"] else "hotpotqa,qed"
    asked = {**given, "sets": sets, "examples": None if sets == "" else EXAMPLES, "sentences": None, "gold_answers": False}
    asked["methods"] = ",".join(_of(given["methods"], CONTEXT))
    return bench.plan(asked, folder, usual=ContextSize(least=8, most=12, held_out=32, answer=32))


def training_side(given: Mapping[str, Any], folder: Path) -> Plan:
    """Three facts of each of 30 countries, in 270 rows."""
    wanted = _of(given["methods"], scoring.METHODS)
    wanted = wanted if given["methods"] else [name for name in wanted if name not in ITERATIVE]
    usual = dict.fromkeys(("steps", "held_out", "jobs"))
    asked = {**given, **usual, "full": False, "model": "scratch", "name": "countries", "count": 60 if given["full"] else 30}
    asked |= {"methods": ",".join(wanted), "budget": given["models"]}
    return replace(facts.plan(asked, folder, usual=Size(removed=8)), called="")


SIDES = {"context": context_side, "training": training_side}


def _of(given: str, known: Mapping[str, Any]) -> list[str]:
    """The methods of a side that were asked for, all without any; raises `LlmattrError` for one that neither side has."""
    wanted = split(given)
    named({**CONTEXT, **scoring.METHODS}, wanted)
    return [name for name in known if not wanted or name in wanted]


@click.command("families", help=__doc__)
@with_options((*OPTIONS, *MORE))
def command(**given: Any) -> None:
    """Measure both sides, print their tables, and save them."""
    check(given)
    out = given["out"] or OUT
    out.parent.mkdir(parents=True, exist_ok=True)
    with refusing(), quiet_thread():
        asked = [side for side in SIDES if given["side"] in ("both", side) and _of(given["methods"], KNOWN[side])]
        if not asked:
            raise LlmattrError(f"none of these methods is of the side {given['side']}")
        both = out.with_suffix(".kept")
        places = {side: both / f"{side}.json" if given["side"] == "both" else out for side in asked}
        for side in asked:  # what one of them lacks (its data, say) is told before the other has worked for an hour
            SIDES[side](given, places[side].with_suffix(".kept"))
        if len(asked) == 2:
            _in_two_processes(given, places)
            given["again"] = False  # what is measured is there now
        for side, place in places.items():
            sections, how = measured(SIDES[side], given, place)
            if len(asked) == 2:  # this process has only judged
                how["seconds"] = json.loads(place.read_text(encoding="utf-8"))[side]["seconds"]
            others = tuple(other for other in SIDES if other != side)
            publish("families", beside(sections, side), how, out, stays=lambda part, others=others: part.startswith(others))


KNOWN: Mapping[str, Mapping[str, Any]] = {"context": CONTEXT, "training": scoring.METHODS}


def _in_two_processes(given: Mapping[str, Any], places: Mapping[str, Path]) -> None:
    """Each side on a core of its own; raises `LlmattrError` where one fails."""
    names = ("methods", "model", "data", "train", "queries", "budget", "models", "minutes")
    said = {f"--{name}": str(given[name]) for name in names if given[name]}
    flags = [f"--{name}" for name in ("tiny", "full", "again") if given[name]]
    command = [sys.executable, "-m", "eval", "families", *flags, *(word for pair in said.items() for word in pair)]
    started = [
        subprocess.Popen([*command, "--out", str(place), "--side", side], env=environment()) for side, place in places.items()
    ]
    if max(process.wait() for process in started):
        raise LlmattrError("one side failed, as it says above; the same command goes on from what was measured")
