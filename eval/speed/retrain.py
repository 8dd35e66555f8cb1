"""Training again, measured: `python -m eval bench_retrain`. Times are CPU seconds on one thread, medians of rounds."""

import copy
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from eval import RESULTS
from eval.harness.parts import chosen, quiet_thread, run_parts
from eval.harness.record import Figure
from eval.harness.steps import FirstSteps
from eval.training.data import Facts, countries, pararel
from llmattr import LM, metrics
from llmattr.ablation import random_masks
from llmattr.retraining import Recipe, retraining_ablation, scratch_model
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.methods.datamodels import Datamodel
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.together import measure_together, train_together
from llmattr.retraining.trainer import train
from llmattr.text.rows import Examples, row_text, tokenize

OUT = RESULTS / "bench_retrain.json"


@dataclass(frozen=True)
class Size:
    """How much work: shapes (layers, width, measured steps), models together, rounds; facts and models of the datamodels."""

    shapes: tuple[tuple[int, int, int], ...] = ((2, 32, 48), (2, 64, 48), (4, 128, 16), (6, 256, 4))
    together: tuple[int, ...] = (1, 2, 4, 8, 16)
    rounds: int = 3
    facts: int = 500  # of ParaRel
    countries: int | None = None
    capitals: int = 30
    steps: int = 100
    models: tuple[int, ...] = (25, 50, 100, 200, 400)
    held_out: int = 64


TINY = Size(((1, 16, 2),), (1, 2), 1, 8, 4, 4, 4, (4, 8), 4)
STEPS = 940
REFERENCE = Recipe(steps=STEPS, batch_size=32, learning_rate=3e-3, start="random")


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


@dataclass(frozen=True)
class Work:
    """Training one shape of model on facts for a few steps, and measuring the queries."""

    facts: Facts
    layers: int
    width: int
    steps: int

    @cached_property
    def trainer(self) -> CausalTrainer:
        """Model, rows, queries and recipe; the weights are drawn anew."""
        torch.manual_seed(0)
        texts = map(row_text, [*self.facts.rows, *self.facts.queries])
        model, tokenizer = scratch_model(texts, self.layers, self.width)
        rows, queries = (tokenize(part, tokenizer) for part in (self.facts.rows, self.facts.queries))
        return CausalTrainer((model, tokenizer), rows, queries, REFERENCE)

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(p.numel() for p in self.trainer.lm.model.parameters())

    def seconds(self, way: str, k: int, clock: Callable[[], float] = time.process_time) -> float:
        """Seconds of one of k models: the start and one step, all other steps, from a few, and the queries."""
        one, _ = self._seconds(way, k, 1, clock)
        some, measuring = self._seconds(way, k, 1 + self.steps, clock)
        return (one + (some - one) / self.steps * (STEPS - 1) + measuring) / max(k, 1)

    def _seconds(self, way: str, k: int, steps: int, clock: Callable[[], float]) -> tuple[float, float]:
        lm, rows, part = self.trainer.lm, self.trainer.rows, FirstSteps(**dataclasses.asdict(REFERENCE), only=steps)
        kept = random_masks(max(k, 1), len(rows)).astype(float)
        started = clock()
        if way == "usual loop":
            model = usual_loop(lm.model, rows, kept[0] > 0, 0, part)
            trained = clock()
            usual_measure(model, self.trainer.queries)
        elif way == "alone":
            model = train(lm.model, rows, kept[0], 0, part)
            trained = clock()
            self.trainer.measured(LM(model, lm.tokenizer))
        else:
            stack = train_together(lm.model, rows, kept, range(k), part)
            trained = clock()
            measure_together(stack, lm, self.trainer.requests)
        return trained - started, clock() - trained

    def two_processes(self, way: str, k: int) -> float:
        """Models a minute when two processes do the same at the same time."""
        from joblib import Parallel, delayed

        both: Any = Parallel(n_jobs=2)(delayed(_in_process)(self, way, k) for _ in range(2))
        return sum(60 / seconds for seconds in both)


def _in_process(work: Work, way: str, k: int) -> float:
    with quiet_thread():
        return [work.seconds(way, k, time.perf_counter) for _ in range(2)][1]


def usual_loop(model: Any, examples: Examples, kept: np.ndarray, seed: int, recipe: Recipe) -> Any:
    """A model trained as one does it with transformers: padded batches, its own loss, AdamW, clipping, a schedule."""
    model = copy.deepcopy(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate(0), weight_decay=recipe.weight_decay)
    for step, rows in enumerate(recipe.batches(kept, seed)):
        ids, seen, labels = _collated(examples, rows)
        model(input_ids=ids, attention_mask=seen, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@torch.no_grad()
def usual_measure(model: Any, queries: Examples, batch: int = 32) -> np.ndarray:
    """Log-probabilities of the queries' completions from padded batches."""
    found = []
    for first in range(0, len(queries), batch):
        ids, seen, labels = _collated(queries, range(first, min(first + batch, len(queries))))
        said = model(input_ids=ids, attention_mask=seen).logits[:, :-1].log_softmax(-1)
        each = said.gather(2, ids[:, 1:, None])[..., 0]
        found.append((each * (labels[:, 1:] >= 0)).sum(1))
    return torch.cat(found).numpy()


def _collated(examples: Examples, rows: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(len(examples.ids[i]) for i in rows)
    ids, seen, labels = (torch.full((len(rows), longest), fill) for fill in (0, 0, -100))
    for place, i in enumerate(rows):
        own = torch.tensor(examples.ids[i])
        ids[place, : len(own)], seen[place, : len(own)] = own, 1
        labels[place, : len(own)] = torch.where(torch.from_numpy(examples.counted[i]), own, -100)
    return ids, seen, labels


def lds(bench: Bench) -> list[Figure]:
    """How well a datamodel predicts models that it has not seen, by how many models it was fitted on.

    The capitals of countries, each stated in three rows; sources are rows, half of them kept; targets are the queries' log-
    probabilities. LDS: rank correlation over held-out masks, mean over the targets, with its standard error over them. The
    ceiling is what the noise between seeds leaves to any prediction. Own row first: targets whose highest row states the fact.
    """
    facts, ablation = _capitals(bench, "lds", bench.jobs)
    held_out = random_masks(bench.size.held_out, len(facts.rows), seed=1)
    outputs = ablation(held_out)
    ceiling = float(np.nanmean(ablation.ceiling(held_out)))
    figures = []
    for count in bench.size.models:
        values = Datamodel(count, bootstraps=0).attribute(ablation).values
        each = metrics.lds(values, held_out, outputs)
        each = each[np.isfinite(each)]  # without those whose outputs never change
        error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else 0.0
        first = facts.gold[np.arange(len(values)), values.argmax(1)]
        mean = float(each.mean())
        figure = {"models": count, "LDS": mean, "standard error": error, "ceiling": ceiling, "LDS / ceiling": mean / ceiling}
        figures.append({**figure, "own row first": float(first.mean()), "each": each.tolist()})
    return figures


def further(bench: Bench) -> list[Figure]:
    """The cost of a further mask: a datamodel's runs asked again, and more of them, from another process's store."""
    first, more = bench.size.models[0], bench.size.models[1]
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


PARTS = {"models": models, "lds": lds, "further": further}


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


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval bench_retrain")
