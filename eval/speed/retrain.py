"""Training again, measured: `python -m eval bench_retrain`. Times are CPU seconds on one thread, medians of rounds."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.harness.parts import chosen, quiet_thread, run_parts
from eval.harness.record import Figure
from eval.speed.training_ways import Work
from eval.training.data import Facts, countries, pararel
from llmattr.ablation import random_masks
from llmattr.retraining import Recipe, retraining_ablation
from llmattr.retraining.ablation import RetrainingAblation

OUT = RESULTS / "bench_retrain.json"


@dataclass(frozen=True)
class Size:
    """How much work: shapes (layers, width, measured steps), models together, rounds; facts, and models of a datamodel."""

    shapes: tuple[tuple[int, int, int], ...] = ((2, 32, 48), (2, 64, 48), (4, 128, 16), (6, 256, 4))
    together: tuple[int, ...] = (1, 2, 4, 8, 16)
    rounds: int = 3
    facts: int = 500  # of ParaRel
    countries: int | None = None
    capitals: int = 30
    steps: int = 100
    models: tuple[int, int] = (25, 50)


TINY = Size(((1, 16, 2),), (1, 2), 1, 8, 4, 4, 4, (4, 8))


@dataclass(frozen=True)
class Bench:
    """What the parts share: the sizes, a folder, the folder of ParaRel, and how many processes train."""

    size: Size
    scratch: Path
    pararel: Path | None = None
    jobs: int = 2
    notes: list[str] = field(default_factory=list)


def models(bench: Bench) -> list[Figure]:
    """Models of three statements of each fact, 940 steps of 32 rows, measured on the fourth: one after the other and together.

    Usual loop: transformers' own loss of padded batches, torch's AdamW as it comes, all logits. Alone: llmattr's plain loop.
    Together k: k models as one program. CPU seconds a model are those of a few steps, scaled up, and of measuring all queries,
    medians of rounds in which every way comes once. Two processes: models a minute of wall time, both cores at work.
    """
    if bench.pararel is None:
        bench.notes.append("the facts are those of countries.csv: give --pararel FOLDER for the reference workload")
        facts = countries(bench.size.countries)
    else:
        facts = pararel(bench.pararel, bench.size.facts)
    bench.notes.append(f"{len(facts.rows)} rows, {len(facts.queries)} queries")
    return [figure for shape in bench.size.shapes for figure in _ways(bench, facts, *shape)]


def _ways(bench: Bench, facts: Facts, layers: int, width: int, steps: int) -> list[Figure]:
    work = Work(facts, layers, width, steps)
    click.echo(f"{layers} x {width} ...", err=True)
    ways = {"usual loop": 0, "alone": 1, **{f"together {k}": k for k in bench.size.together}}
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(bench.size.rounds):
        for way, k in ways.items():
            found[way].append(work.seconds(way, k))
    seconds = {way: statistics.median(each) for way, each in found.items()}
    k = work.trainer.together
    best, figures = "alone" if k == 1 else f"together {k}", []
    for way, k in ways.items():
        figure = {"layers x width": f"{layers} x {width}", "parameters": work.parameters, "way": way}
        figure |= {"CPU s a model": seconds[way], "models a minute": 60 / seconds[way]}
        figure |= {"times as fast": seconds["usual loop"] / seconds[way], "chosen": "*" if way == best else None}
        if way in ("usual loop", best):
            figure["two processes, models a minute"] = work.two_processes(way, k)
        figures.append({**figure, "seconds": found[way]})
    return figures


def further(bench: Bench) -> list[Figure]:
    """The cost of a further mask: a datamodel's runs asked again, and more of them, from another process's store."""
    first, more = bench.size.models
    figures = []
    for asked in (first, first, more):
        facts, ablation = _capitals(bench, "further", 1)  # which knows nothing but what the folder holds
        before, started = _kept(ablation), time.process_time()
        ablation(random_masks(asked, len(facts.rows)))
        seconds, new = time.process_time() - started, _kept(ablation) - before
        figures.append({"masks asked": asked, "kept before": before, "trained": new, "CPU s": seconds, "s a new model": None})
        figures[-1]["s a new model"] = seconds / new if new else None
    return figures


def _kept(ablation: RetrainingAblation) -> int:
    return 0 if ablation.store is None else len(ablation.store)


def _capitals(bench: Bench, name: str, jobs: int) -> tuple[Facts, RetrainingAblation]:
    facts = countries(bench.size.capitals, ["capital"])
    recipe = Recipe(steps=bench.size.steps, batch_size=bench.size.capitals, learning_rate=5e-3)
    return facts, retraining_ablation("scratch", facts.rows, facts.queries, out=bench.scratch / name, recipe=recipe, jobs=jobs)


PARTS = {"models": models, "further": further}


def _names(_context: Any, _parameter: Any, given: str) -> Sequence[str]:
    return chosen(PARTS, given)


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A very small workload and model, to see that everything runs. Needs --out.")
@click.option("--parts", callback=_names, default="", help="Some parts, with commas between; all without it.")
@click.option("--pararel", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="ParaRel's files.")
@click.option("--jobs", default=2, show_default=True, help="Processes that train for the datamodels.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; a Markdown file goes beside it.")
def command(tiny: bool, parts: list[str], folder: Path | None, jobs: int, out: Path | None) -> None:
    """Measure the parts one after the other, print each as a table, and save it."""
    if tiny and out is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    options = [*["--tiny"] * tiny, *(["--pararel ..."] if folder else [])]
    with quiet_thread(), tempfile.TemporaryDirectory() as scratch:
        bench = Bench(TINY if tiny else Size(), Path(scratch), folder, jobs)
        run_parts("bench_retrain", PARTS, parts, bench, options=options, out=out or OUT)
