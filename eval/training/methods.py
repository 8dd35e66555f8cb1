"""Which methods the benchmarks of training compare, and how the scores of each come about and what they cost."""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import numpy as np

from eval.harness.scores import dense
from eval.training.measure import CHECKPOINTS, GOLD, RANDOM, Bench, Found, Way
from llmattr import build_index
from llmattr.core.method import describe
from llmattr.errors import LlmattrError
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.store import Run
from llmattr.training import METHODS as TRAINING

ENSEMBLED = ("tracin", "trak", "grad-cos", "trackstar")  # what is asked at several checkpoints, and of several runs, too
LOOKS = 20  # steps between in-run-shapley's looks at the queries
INTO_A_MODEL = ("knn-shapley", "linear-probe")  # what looks at the hidden states of the trained model


@dataclass(frozen=True, eq=False)
class Clocked(RetrainingAblation):
    """An ablation that keeps account of the CPU seconds of this process that went into training."""

    training: list[float] = field(default_factory=list)

    def train(self, runs: Sequence[Run]) -> None:
        """As the ablation does."""
        started = time.process_time()
        super().train(runs)
        self.training.append(time.process_time() - started)


def scored(bench: Bench, wanted: Sequence[str] = ()) -> dict[str, Found | str]:
    """Each line's scores, or what went wrong: a method that fails is a cell of the table, not the end of the benchmark."""
    lines: dict[str, Found | str] = {}
    _ = bench.ablation  # rows that cannot be read are refused before anything is trained
    for name, way in ways(bench, wanted).items():
        click.echo(f"{name} ...", err=True)
        try:
            lines[name] = bench.found(name, way)
        except Exception as error:
            lines[name] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:120].replace("|", "/")
    return lines


def ways(bench: Bench, wanted: Sequence[str] = ()) -> dict[str, Way]:
    """How each line's scores come about, when they are asked for; a method's name before a comma."""
    shape, runs = (len(bench.queries), len(bench.rows)), bench.size.runs
    found = {RANDOM: Way({}, lambda: Found(np.random.default_rng(0).normal(size=shape)))}
    if bench.gold is not None:
        found[GOLD] = Way({"gold": bench.gold.tolist()}, lambda gold=bench.gold: Found(gold.astype(float)))
    for name in (name for name in TRAINING if name != RANDOM and (not wanted or name in wanted)):
        if name != "tracin":  # of one checkpoint it is grad-dot
            found[name] = _by_trace(bench, name)
        if name in ENSEMBLED:
            found[f"{name}, {len(CHECKPOINTS)} checkpoints"] = _by_trace(bench, name, CHECKPOINTS)
            found[f"{name}, {len(CHECKPOINTS)} checkpoints of {runs} runs"] = _by_trace(bench, name, CHECKPOINTS, runs)
    for name in (name for name in RETRAINING if (not wanted or name in wanted) and name != "data-oob"):
        found[name] = _by_training(bench, name)
        if name == "in-run-shapley":
            found[f"{name}, cosine"] = _by_training(bench, name, product="cosine")
            found[f"{name}, cosine, {runs} runs"] = _by_training(bench, name, runs, product="cosine")
    return found


def _by_trace(bench: Bench, name: str, shares: Sequence[float] = CHECKPOINTS[-1:], runs: int = 1) -> Way:
    method = TRAINING[name]()
    return Way(describe(method) | {"checkpoints": shares, "runs": runs}, lambda: _traced(bench, method, shares, runs))


def _by_training(bench: Bench, name: str, runs: int = 1, **given: Any) -> Way:
    options: dict[str, Any] = {"n_models": bench.size.models, "bootstraps": 0, "every": LOOKS, **given}
    known = RETRAINING[name].__dataclass_fields__
    method = RETRAINING[name](**{key: value for key, value in options.items() if key in known})
    return Way(describe(method) | {"runs": runs}, lambda: _trained(bench, method, runs))


def named(given: str, known: Mapping[str, Any] = TRAINING | RETRAINING) -> list[str]:
    """Methods with commas between; raises `LlmattrError` for one that is not known."""
    known = [name for name in known if name != "data-oob"]  # it has no queries
    names = [name.strip() for name in given.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise LlmattrError(f"there is no method {unknown[0]!r}; there are {', '.join(known)}")
    return names


def _traced(bench: Bench, method: Any, shares: Sequence[float], runs: int) -> Found:
    models = [one for run in range(runs) for one in bench.checkpoints(run, shares)]
    several = {"checkpoints": models, "learning_rates": [1.0] * len(models)} if len(models) > 1 else {}
    place = bench.folder / "index" / method.name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    started = time.process_time()
    given = None if several else models[-1]
    result = build_index(given, bench.rows, place, method, **several).query(bench.queries, top=None)
    seconds = time.process_time() - started
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    shutil.rmtree(place)
    needed = 0 if method.family == "corroborative" and method.name != "rep-sim" else runs
    training = needed * bench.seconds_a_model if needed else 0.0  # which is measured by training
    return Found(dense(result), seconds + training, needed, size)


def _trained(bench: Bench, method: Any, runs: int) -> Found:
    base = bench.ablation_of(bench.checkpoints()[-1]) if method.name in INTO_A_MODEL else bench.ablation
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    ablation = Clocked(**fields | {"memory": {}, "replicates": runs})
    started = time.process_time()
    result = method.attribute(ablation, ablation.seed)
    seconds = time.process_time() - started - sum(ablation.training)
    models = runs if method.name in (*INTO_A_MODEL, "in-run-shapley") else len(ablation.memory)
    size = models * (len(bench.rows) // 8 + 8 * len(bench.queries))  # a run's mask and outputs
    cited = result.cited if result.can_cite and result.stderr is not None else None
    baseline = result.baseline if result.can_cite else None
    return Found(result.values, seconds + models * bench.seconds_a_model, models, size, cited, baseline)
