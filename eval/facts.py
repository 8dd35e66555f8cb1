"""Fact tracing: which training rows state what is asked, and which ones change the answer? `python -m eval facts`.

A small transformer learns real facts from random weights, each stated in three rows and asked in a fourth way, so that the rows
are the only place the answers can come from. Support: does a method find the rows that state the fact? Prediction: do its
scores foretell models that were trained on random halves of the rows (LDS)? The two are not the same.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Float

from eval.facts_data import Facts, countries, pararel
from eval.parts import quiet_thread
from eval.record import Figure, circumstances, save, table
from llmattr import metrics
from llmattr.ablation import random_masks
from llmattr.data import read_rows
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining import Recipe, retraining_ablation
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.build import attributed
from llmattr.retraining.trainer import train
from llmattr.training import METHODS as TRAINING
from llmattr.training.trace import trace

RESULTS = Path(__file__).parent / "results" / "facts.json"
HELD_OUT = 1  # the seed of the masks that judge; methods draw theirs with seed 0
CHECKPOINTS = (0.1, 0.3, 1.0)  # shares of the steps, for what looks at several checkpoints
TRACED = ("bm25", "embeddings", "rep-sim", "grad-dot", "grad-cos", "tracin", "trak", "logra", "trackstar", "ekfac")
TRAINED = ("datamodel", "banzhaf", "in-run-shapley")
LOOKED_INTO = ("knn-shapley", "linear-probe")  # methods on the hidden states of the trained model

Values = Float[np.ndarray, "t n"]


@dataclass(frozen=True, eq=False)
class Bench:
    """The facts, the training, and a folder in which everything that was computed is kept."""

    facts: Facts
    recipe: Recipe
    folder: Path
    models: int
    held_out: int
    jobs: int | None = None
    notes: list[str] = field(default_factory=list)

    def ablation(self, model: str = "scratch") -> RetrainingAblation:
        """The truth: the same model trained on some of the rows; or one that is trained already, to be looked into."""
        options: dict[str, Any] = {"out": self.folder / "runs", "recipe": self.recipe, "jobs": self.jobs}
        return retraining_ablation(model, self.facts.rows, self.facts.queries, **options)


@dataclass(frozen=True)
class First(Recipe):
    """The recipe up to a step."""

    only: int = 0

    def batches(self, kept: Any, seed: int) -> Any:
        """The rows of the first steps."""
        return super().batches(kept, seed)[: self.only]


def checkpoints(bench: Bench, ablation: RetrainingAblation) -> list[str]:
    """The model of all rows as it was at some steps, the last at the end; in folders."""
    lm, recipe, found = ablation.trainer.lm, ablation.trainer.recipe, []
    for share in CHECKPOINTS:
        place = bench.folder / f"model-{share}"
        if not (place / "done").exists():
            part = First(**vars(recipe), only=round(share * recipe.steps))
            train(lm.model, ablation.trainer.rows, np.ones(len(bench.facts.rows)), 0, part).save_pretrained(place)
            lm.tokenizer.save_pretrained(place)
            (place / "done").touch()
        found.append(str(place))
    return found


def scores(bench: Bench, ablation: RetrainingAblation, models: list[str]) -> dict[str, Callable[[], Values]]:
    """Each method's scores [t, n], when they are asked for."""
    t, n = len(bench.facts.queries), len(bench.facts.rows)
    found: dict[str, Callable[[], Values]] = {
        "random": lambda: np.random.default_rng(0).normal(size=(t, n)),
        "the rows that state it": lambda: bench.facts.gold.astype(float),
    }
    for name in TRACED:
        found[name] = lambda name=name: _traced(bench, name, models[-1:])
        if name in ("tracin", "trak", "grad-cos", "trackstar"):
            found[f"{name}, {len(models)} checkpoints"] = lambda name=name: _traced(bench, name, models)
    del found["tracin"]  # of one checkpoint it is grad-dot
    for name in TRAINED:
        found[name] = lambda name=name: _trained(bench, ablation, name)
    for name in LOOKED_INTO:
        found[name] = lambda name=name: _trained(bench, bench.ablation(models[-1]), name)
    return found


def _traced(bench: Bench, name: str, models: list[str]) -> Values:
    several = {"checkpoints": models, "learning_rates": [1.0] * len(models)} if len(models) > 1 else {}
    result = trace(models[-1], bench.facts.rows, bench.facts.queries, TRAINING[name](), **several)
    assert result.index is not None  # every row, highest first
    rows = np.array([int(one) for one in result.sources.ids])[result.index]
    values = np.empty_like(result.values)
    np.put_along_axis(values, rows, result.values, axis=1)
    return values


def _trained(bench: Bench, ablation: RetrainingAblation, name: str) -> Values:
    size = {"n_models": bench.models} if "n_models" in RETRAINING[name].__dataclass_fields__ else {}
    more = {"bootstraps": 0} if "bootstraps" in RETRAINING[name].__dataclass_fields__ else {}
    return attributed(ablation, RETRAINING[name](**size, **more)).values


def figures(bench: Bench, wanted: list[str]) -> Iterator[Figure]:
    """Each method's row of the table, as soon as it is known."""
    ablation = bench.ablation()
    masks = random_masks(bench.held_out, len(bench.facts.rows), seed=HELD_OUT)
    outputs = ablation(masks)
    ceiling = float(np.nanmean(ablation.ceiling(masks[: max(2, bench.held_out // 4)])))
    known = ablation(np.ones((1, len(bench.facts.rows)), dtype=bool))[0]
    told = [
        f"{len(bench.facts.rows)} rows, {len(bench.facts.queries)} queries; trained on all rows, a query's completion has the "
        f"probability {np.exp(np.median(known)):.2f} in the median",
        f"{bench.held_out} held-out models; the noise between seeds allows an LDS of {ceiling:.2f}",
    ]
    bench.notes.extend(told)
    ways = scores(bench, ablation, checkpoints(bench, ablation))
    for name in [name for name in ways if not wanted or name.split(",")[0] in wanted]:
        click.echo(f"{name} ...", err=True)
        try:
            values, seconds = _kept(bench, name, ways[name])
        except Exception as error:  # a method that fails says so in its row
            yield {"method": name, "MRR": None, "failed": f"{type(error).__name__}: {error}"[:120]}
            continue
        yield _figure(name, values, seconds, bench.facts.gold, masks, outputs)


def _kept(bench: Bench, name: str, way: Callable[[], Values]) -> tuple[Values, float]:
    """A method's scores and the CPU seconds they took, from the folder where they are known."""
    place = bench.folder / "scores" / f"{name.replace(', ', '-').replace(' ', '-')}.npz"
    if not place.exists():
        started = time.process_time()
        values = way()
        place.parent.mkdir(exist_ok=True)
        part = place.with_suffix(".part.npz")
        np.savez(part, values=values, seconds=time.process_time() - started)
        part.replace(place)
    with np.load(place) as saved:
        return saved["values"], float(saved["seconds"])


def _figure(name: str, values: Values, seconds: float, gold: Any, masks: Any, outputs: Any) -> Figure:
    each = np.nan_to_num(metrics.lds(values, masks, outputs))
    interval = metrics.bootstrap_interval(each)
    family = next((m[name.split(",")[0]].family for m in (TRAINING, RETRAINING) if name.split(",")[0] in m), None)
    return {
        "method": name,
        "family": family,
        "MRR": float(np.nanmean(metrics.reciprocal_rank(values, gold))),
        "recall@10": float(np.nanmean(metrics.recall_at_k(values, gold, 10))),
        "P@1": float(np.nanmean(metrics.precision_at_k(values, gold, 1))),
        "LDS": float(each.mean()),
        "LDS 95 %": f"{interval.low:.2f} to {interval.high:.2f}",
        "CPU s": seconds,
        "LDS of each query": each.tolist(),
    }


def _facts(pararel_folder: Path | None, train_rows: Path | None, queries: Path | None, count: int | None) -> Facts:
    if train_rows and queries:
        return Facts(*(_own(path) for path in (train_rows, queries)))
    return pararel(pararel_folder, count or 500) if pararel_folder else countries(count or 60)


def _own(path: Path) -> list[dict[str, Any]]:
    rows = read_rows(path)
    for number, row in enumerate(rows):
        if missing := [name for name in ("prompt", "completion", "fact") if row.get(name) is None]:
            raise click.UsageError(f"row {number} of {str(path)!r}, counted from 0, has no {missing[0]!r}")
    return rows


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A few facts and models, to see that everything runs. Needs --out.")
@click.option(
    "--count", type=click.IntRange(min=2), help="How many facts of ParaRel (500), or countries (60, of three facts each)."
)
@click.option("--pararel", "folder", type=click.Path(path_type=Path, exists=True), help="The folder of ParaRel's files.")
@click.option("--train", type=click.Path(path_type=Path, exists=True), help='Your rows: {"prompt", "completion", "fact"}.')
@click.option(
    "--queries", type=click.Path(path_type=Path, exists=True), help="Your queries, of the same form: gold = same fact."
)
@click.option("--methods", default="", help="Some methods, with commas between; all without it.")
@click.option("--steps", type=int, help="Steps of each training; 20 passes over the rows without it.")
@click.option("--models", type=int, default=200, show_default=True, help="Models that datamodel and banzhaf are fitted on.")
@click.option("--held-out", type=int, default=50, show_default=True, help="Models that judge.")
@click.option("--jobs", type=int, help="Processes that train; 1 without it.")
@click.option("--again", is_flag=True, help="Forget what was computed before.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; Markdown, runs and scores go beside it.")
def command(tiny: bool, methods: str, out: Path | None, again: bool, **given: Any) -> None:
    """Train, score, judge, print a table, and save it."""
    if tiny and out is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    if bool(given["train"]) != bool(given["queries"]):
        raise click.UsageError("--train and --queries go together")
    out = out or RESULTS
    facts = _facts(given["folder"], given["train"], given["queries"], 4 if tiny else given["count"])
    folder = out.with_suffix(".runs")
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _same(folder, facts)
    recipe = Recipe(steps=30 if tiny else given["steps"] or "auto", batch_size=32, learning_rate=3e-3)
    size = {"models": 12, "held_out": 6} if tiny else {"models": given["models"], "held_out": given["held_out"]}
    bench = Bench(facts, recipe, folder, **size, jobs=given["jobs"])
    how = circumstances(" ".join(["python -m eval facts", *["--pararel ..."] * bool(given["folder"])]))
    with quiet_thread():
        found = list(figures(bench, [name.strip() for name in methods.split(",") if name.strip()]))
    click.echo("\n".join([table(found), *bench.notes]))
    about = " ".join((__doc__ or "").split())
    save(out, "facts", {"facts": {"about": about, **how, "figures": found, "notes": bench.notes}})


def _same(folder: Path, facts: Facts) -> None:
    """Refuse a folder of other facts; its scores would be theirs."""
    place, text = folder / "facts.json", json.dumps([facts.rows, facts.queries])
    if place.exists() and place.read_text() != text:
        raise click.UsageError(f"{str(folder)!r} holds the scores of other facts: give another --out, or --again")
    place.write_text(text)


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval facts")
