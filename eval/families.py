"""The one table: every method of context and training attribution, by family. `python -m eval families`.

Support: do the highest scores find what states the answer? Prediction: do the scores foretell what happens without some of the
sources? Cost: what does it take? Corroborative methods compare texts; predictive ones look into the model; game-theoretic ones
and datamodels try parts of the sources. Contexts are cited for the answers that the model gives to questions; training rows are
traced for facts that a small model learned from them alone.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from eval import RESULTS
from eval.context import measure as context_bench
from eval.context.measure import Bench, Measured, measure, questions, right_answers
from eval.context.methods import entries
from eval.context.tables import costs, interval, lines, means
from eval.harness.command import SHARED, Section, check, publish, refusing, said
from eval.harness.jobs import environment
from eval.harness.parts import quiet_thread
from eval.harness.record import Figure, circumstances
from eval.report.tables import families
from eval.training import data as facts_data
from eval.training.checks import removals
from eval.training.facts import support
from eval.training.measure import Bench as TrainingBench
from eval.training.measure import Found, Size, as_words, ends, figures, prediction
from eval.training.methods import named, scored
from llmattr.context import METHODS as CONTEXT
from llmattr.errors import LlmattrError
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining import Recipe
from llmattr.training import METHODS as TRAINING

OUT = RESULTS / "families.json"
FAMILIES = ("corroborative", "predictive", "game-theoretic", "datamodel")
COLUMNS = ("MRR", "recall@3", "F1", "LDS", "LDS 95 %", "drop", "counterfactual error", "CPU s", "passes", "models", "bytes")
OURS = {"RR": "MRR", "R@3": "recall@3", "cited f1": "F1", "drop 3": "drop", "counterfactual error 3": "counterfactual error"}
CONTEXTS = context_bench.Size(
    sets=("hotpotqa", "qed"), examples=2, least=8, most=12, held_out=32, ceiling=128, curve=(), answer=32
)
MODELS, TINY_MODELS = Size(models=200, held_out=50), Size(models=12, held_out=6, runs=2)
ITERATIVE = ("cg", "lissa", "arnoldi", "stream")  # minutes for each query, or what others do faster
NOTES = (
    "MRR, recall@3, F1: where the sources stand that state the answer (sentences that people marked, rows of the same fact), "
    "and how well what a method cites agrees with them. LDS: rank correlation with what happens without random halves of the "
    "sources. Drop: nats lost without the 3 highest sources. Counterfactual error: how many nats the method's own prediction "
    "of that is off; lower is better.",
    "Of training the 3 highest rows of the known queries, 60 at most, go at once, and a model is trained without them.",
    "CPU s: of one question about a context; of all queries to a training set, with the models that the method needs. Passes: "
    "through the model, of one question. Models: trained. Bytes: what is kept to answer further queries.",
)


def context_side(size: context_bench.Size, given: dict[str, Any], out: Path) -> tuple[list[Figure], list[str]]:
    """The lines of context methods, and notes."""
    found, notes = questions(size, given["shared"], given["data"], False)
    bench = Bench(size, "tiny" if given["tiny"] else given["model"], False, out.with_name(f"{out.stem}-context.json"))
    if given["again"]:
        bench.forget()
    rows = measure(bench, found, entries(_of_side(given["methods"], CONTEXT), size.ceiling, size.curve))
    return lines(rows, _of_context), [*notes, *right_answers(rows), f"{size.held_out} held-out ablations of each."]


def _of_context(done: Sequence[Measured]) -> Figure:
    line = {OURS[name]: value for name, value in means(done, *OURS).items()}
    spent = {{"seconds": "CPU s"}.get(name, name): value for name, value in costs(done).items()}
    return line | interval("LDS", done) | spent


def training_side(given: dict[str, Any], out: Path) -> tuple[list[Figure], list[str]]:
    """The lines of training methods, and notes."""
    if given["train"]:
        facts = facts_data.own(given["train"], given["queries"])
    else:
        facts = facts_data.countries(4 if given["tiny"] else 30)
    recipe = Recipe(steps=30 if given["tiny"] else "auto", batch_size=32, learning_rate=3e-3)
    size, folder = TINY_MODELS if given["tiny"] else MODELS, out.with_name(f"{out.stem}-training.runs")
    rows, queries = (as_words(part, "scratch") for part in (facts.rows, facts.queries))
    bench = TrainingBench(rows, queries, recipe, folder, size, gold=facts.gold)
    bench.claim(given["again"])
    of_side = _of_side(given["methods"], TRAINING | RETRAINING)
    wanted = [name for name in of_side if given["methods"] or name not in ITERATIVE]
    with quiet_thread():
        found = scored(bench, wanted)
        removed = removals(bench, found)

    def judge(name: str, one: Found) -> Figure:
        gone = removed.get(name, {})
        return {**support(facts, one), **prediction(bench, one), **gone, "drop": gone.get("removal drop")}

    notes = [
        f"Training: {len(facts.rows)} rows, {len(facts.queries)} queries; {size.held_out} held-out models, {size.models} for "
        f"methods that are fitted on models; a query has the probability {np.exp(np.median(bench.whole)):.2f} in the median."
    ]
    return [*figures(found, judge), *ends(bench)], notes


def _of_side(given: str, known: Mapping[str, Any]) -> list[str]:
    names = named(given, CONTEXT | TRAINING | RETRAINING)
    return [name for name in known if not names or name in names]


def joined(sides: dict[str, list[Figure]]) -> list[Figure]:
    """One table, family by family, the highest LDS first; what is there for comparison comes last."""
    table = [
        {"method": line["method"], "of": side, "family": families().get(line["method"].split(",")[0])}
        | {name: line.get(name) for name in COLUMNS}
        | {name: line[name] for name in ("failed", "not measured") if name in line}
        for side, some in sides.items()
        for line in some
    ]
    order = {name: place for place, name in enumerate((*FAMILIES, "reference", None))}
    return sorted(
        table, key=lambda line: (order[line["family"]], line["of"], -(line["LDS"] if line["LDS"] is not None else -2))
    )


@click.command("families", help=__doc__)
@click.option("--tiny", is_flag=True, help="A random model, a few facts: does everything run? Needs --out.")
@click.option("--full", is_flag=True, help="5 questions of each of four sets, up to 16 sentences: hours.")
@click.option("--side", type=click.Choice(["both", "context", "training"]), default="both", help="Both, in two processes.")
@click.option("--methods", default="", help="Some methods, with commas between.")
@click.option(
    "--model", default="smollm2", show_default=True, help="What is asked about contexts: a hub id, a folder, or smollm2."
)
@click.option("--data", help="Questions of your own: a JSON lines file, or a hub id, as for `context`.")
@click.option("--train", help="Training rows of your own, as for `facts`.")
@click.option("--queries", help="Queries of your own, as for `facts`.")
@click.option("--shared", type=click.Path(path_type=Path), default=SHARED, help="The folder that holds data/.")
@click.option("--again", is_flag=True, help="Forget what was measured before.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; Markdown, and what is measured, go beside it.")
def command(**given: Any) -> None:
    """Measure both sides, print the table, and save it."""
    check(given)
    out, how = given["out"] or OUT, circumstances(said())
    out.parent.mkdir(parents=True, exist_ok=True)
    with refusing():
        if given["side"] == "both":
            _in_two_processes(given, out)
            given["again"] = False  # what is measured is there now
        sides, notes = _sides(given, out)
    if given["side"] == "both":
        publish("families", {"families": Section(" ".join((__doc__ or "").split()), joined(sides), [*notes, *NOTES])}, how, out)


def _sides(given: dict[str, Any], out: Path) -> tuple[dict[str, list[Figure]], list[str]]:
    size = context_bench.TINY if given["tiny"] else CONTEXTS
    if given["full"]:
        size = dataclasses.replace(size, sets=context_bench.FULL.sets, examples=5, most=16)
    size = dataclasses.replace(size, curve=(), **(context_bench.OWN if given["data"] else {}))
    made = {
        "context": lambda: context_side(size, given, out),
        "training": lambda: training_side(given, out),
    }
    known = {"context": CONTEXT, "training": TRAINING | RETRAINING}
    asked = [side for side in made if given["side"] in ("both", side) and _of_side(given["methods"], known[side])]
    if not asked:
        click.echo(f"none of these methods is of the side {given['side']}", err=True)
    found = {side: made[side]() for side in asked}
    return {side: lines for side, (lines, _) in found.items()}, [note for _, notes in found.values() for note in notes]


def _in_two_processes(given: dict[str, Any], out: Path) -> None:
    """Each side on a core of its own; raises `LlmattrError` where one fails. What they measure is kept beside `out`."""
    said = {f"--{name}": str(given[name]) for name in ("methods", "model", "data", "train", "queries", "shared") if given[name]}
    flags = [f"--{name}" for name in ("tiny", "full", "again") if given[name]]
    command = [sys.executable, "-m", "eval", "families", *flags, *(word for pair in said.items() for word in pair)]
    sides = ("context", "training")
    started = [subprocess.Popen([*command, "--out", str(out), "--side", side], env=environment()) for side in sides]
    ends = [process.wait() for process in started]
    if any(ends):
        raise LlmattrError("one side failed, as it says above; the same command goes on from what was measured")


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval families")
