"""What the benchmarks of training methods share: a model trained on rows, each method's scores of them, and models that judge.

Everything that is computed is kept in a folder, so that a run that was stopped goes on from what it has.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Bool, Float

from eval.harness.record import Figure
from eval.harness.steps import FirstSteps
from llmattr import __version__, metrics
from llmattr.ablation import random_masks
from llmattr.core.files import digest, read_arrays, write, write_arrays
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, note
from llmattr.metrics.lds import foretold
from llmattr.metrics.shapes import Scores
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining import Recipe, retraining_ablation
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.scratch import NAME, with_space
from llmattr.retraining.trainer import train
from llmattr.training import METHODS as TRAINING

VERSION = 1  # of what trainings and scores are: kept ones of another are not taken
HELD_OUT = 1  # the seed of the masks that judge; methods draw theirs with seed 0
CHECKPOINTS = (0.1, 0.3, 1.0)  # shares of the steps, for what looks at several checkpoints
GOLD, RANDOM, AGAIN, CEILING = "rows that state it", "random", "the models again", "ceiling"  # lines for comparison

OPTIONS = (
    click.option("--methods", default="", help="Some methods, with commas between; without it all that are not too slow."),
    click.option("--model", default="scratch", show_default=True, help="scratch (from random weights), or what is fine-tuned."),
    click.option("--steps", type=click.IntRange(min=1), help="Steps of each training; some passes over the rows without it."),
    click.option("--jobs", type=int, help="Processes that train; 1 without it."),
    click.option("--again", is_flag=True, help="Forget what was computed before."),
    click.option("--out", type=click.Path(path_type=Path), help="The JSON file; Markdown, runs and scores go beside it."),
)

RowDicts = list[dict[str, Any]]  # rows or queries, as `read_rows` gives them


@dataclass(frozen=True)
class Size:
    """How much is trained: models that methods are fitted on, models that judge, runs of an ensemble."""

    models: int = 200
    held_out: int = 50
    runs: int = 4


@dataclass(frozen=True)
class Found:
    """A method's scores and what they cost. `cited` and `baseline` where it has them, `models` = runs of training it needs."""

    values: Scores
    seconds: float = 0.0
    models: int = 0
    bytes: int = 0
    cited: Bool[np.ndarray, "t n"] | None = None
    baseline: Float[np.ndarray, " t"] | None = None

    def predicted(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"] | None:
        """The outputs that it foretells in their unit; None where scores have none."""
        return None if self.baseline is None else self.baseline + masks @ self.values.T

    def save(self, path: Path) -> None:
        """Keep it; what is half written is no file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, **{name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def load(cls, path: Path) -> "Found":
        """As it was kept; raises `LlmattrError` for a damaged file."""
        return cls(**{name: value if value.ndim else value.item() for name, value in read_arrays(path).items()})


@dataclass(frozen=True)
class Way:
    """How a line's scores come about, and what they depend on besides the bench: the method's fields, checkpoints, runs."""

    what: dict[str, Any]
    work: Callable[[], Found]


def as_words(rows: RowDicts, model: str) -> RowDicts:
    """Rows or queries as the words of a model from scratch begin: else indexes would know none after a space."""
    return [with_space(row) for row in rows] if model == NAME else rows


@dataclass(frozen=True, eq=False)
class Bench:
    """Rows, queries (both `as_words`), how a model is trained on them, and a folder where all that was computed is kept."""

    rows: RowDicts
    queries: RowDicts
    recipe: Recipe
    folder: Path
    size: Size = Size()
    model: Any = "scratch"
    jobs: int | None = None
    gold: Bool[np.ndarray, "t n"] | None = None

    def claim(self, again: bool) -> None:
        """Make the folder, or go on with it; raises `LlmattrError` where it holds scores of something else.

        What cannot be trained on is refused before anything is written or forgotten.
        """
        retraining_ablation(self.model, self.rows, self.queries, recipe=self.recipe)
        if again:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / "bench.json"
        record = [VERSION, self.rows, self.queries, str(self.model), asdict(self.recipe), asdict(self.size)]
        text = json.dumps(record, default=str)
        if place.exists() and place.read_text() != text:
            raise LlmattrError(f"{str(self.folder)!r} holds another benchmark's scores: give another --out, or --again")
        write(place, text)

    @cached_property
    def ablation(self) -> RetrainingAblation:
        """The truth: the same model trained on some of the rows."""
        return self.ablation_of(self.model)

    def ablation_of(self, model: Any) -> RetrainingAblation:
        """The same of another model: one that is trained already, to be looked into."""
        options: dict[str, Any] = {"out": self.folder / "runs", "recipe": self.recipe, "jobs": self.jobs}
        return retraining_ablation(model, self.rows, self.queries, **options)

    def held_out(self, keep: float = 0.5) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, "m t"]]:
        """Masks that keep rows with this probability, by a seed of their own, and the outputs of models trained on them."""
        masks = random_masks(self.size.held_out, len(self.rows), keep, seed=HELD_OUT)
        return masks, self.ablation(masks)

    @cached_property
    def whole(self) -> Float[np.ndarray, " t"]:
        """The outputs of a model of all rows."""
        return self.ablation(np.ones((1, len(self.rows)), dtype=bool))[0]

    def twice(self, keep: float = 0.5) -> Float[np.ndarray, "m 2 t"]:
        """Two runs, with different seeds, of each of the first quarter of the held-out masks."""
        masks, _ = self.held_out(keep)
        return self.ablation.replicated(masks[: max(4, len(masks) // 4)], 2)

    def ceiling(self, keep: float = 0.5) -> float:
        """The LDS that the noise between seeds leaves."""
        return float(np.nanmean(metrics.lds_ceiling(self.twice(keep))))

    @cached_property
    def seconds_a_model(self) -> float:
        """CPU seconds of training once, when as many are trained together as pay; measured in this process, and kept."""
        place = self.folder / "seconds.json"
        if not place.exists():
            trainer = self.ablation.trainer
            started = time.process_time()
            trainer.outputs(np.ones((trainer.together, len(self.rows))), range(trainer.together))
            write(place, json_text((time.process_time() - started) / trainer.together))
        return json.loads(place.read_text())

    def checkpoints(self, run: int = 0, shares: Sequence[float] = CHECKPOINTS) -> list[str]:
        """The model of all rows as it was at shares of the steps of a run; in folders."""
        trainer = self.ablation.trainer
        lm, recipe, found = trainer.lm, trainer.recipe, []
        for share in shares:
            place = self.folder / f"model-{run}-{share}"
            if not (place / "done").exists():
                part = FirstSteps(**asdict(recipe), only=round(share * recipe.steps))
                train(lm.model, trainer.rows, np.ones(len(self.rows)), run, part).save_pretrained(place)
                lm.tokenizer.save_pretrained(place)
                (place / "done").touch()
            found.append(str(place))
        return found

    def found(self, name: str, way: Way) -> Found:
        """A method's scores, from the folder where those of the same way, version and llmattr are known."""
        key = digest([VERSION, __version__, way.what])[:12]
        place = self.folder / "scores" / f"{name.replace(', ', '-').replace(' ', '-')}-{key}.npz"
        try:
            return Found.load(place)
        except FileNotFoundError:
            pass
        except LlmattrError as error:
            note(f"{error}: they are made again")
        way.work().save(place)
        return Found.load(place)


def family(name: str) -> str | None:
    """A line's family; None for those that are there for comparison."""
    method = name.split(",")[0]
    return next((known[method].family for known in (TRAINING, RETRAINING) if method in known), None)


def figures(lines: Mapping[str, Found | str], judge: Callable[[str, Found], Figure]) -> list[Figure]:
    """The table: a line for each method with what the judge says of it, best first by the first measure."""
    heads = {name: {"method": name, "family": family(name)} for name in lines}
    judged = {name: judge(name, found) | costs(found) for name, found in lines.items() if isinstance(found, Found)}
    failed = [{**heads[name], "failed": found} for name, found in lines.items() if isinstance(found, str)]
    best_first = sorted(judged, key=lambda name: _least_first(next(iter(judged[name].values()))))
    return [{**heads[name], **judged[name]} for name in best_first] + failed


def _least_first(measured: float | None) -> float:
    return np.inf if measured is None or np.isnan(measured) else -measured


def agreement(lines: Mapping[str, Found | str], targets: int = 50) -> list[Figure]:
    """Kendall's tau between each two methods' scores of all rows, the mean over the first targets."""
    known = {name: found.values[:targets] for name, found in lines.items() if isinstance(found, Found) and name != RANDOM}
    return [
        {"method": one} | {other: mean(metrics.kendall(values, theirs)) for other, theirs in known.items()}
        for one, values in known.items()
    ]


def mean(values: Float[np.ndarray, " t"]) -> float | None:
    """The mean of those that are defined; None where none is."""
    return None if np.isnan(values).all() else float(np.nanmean(values))


def costs(found: Found) -> Figure:
    """The columns of what the scores cost."""
    return {"CPU s": found.seconds, "models": found.models, "bytes": found.bytes}


def ends(bench: Bench, rates: Sequence[float] = (0.5,)) -> list[Figure]:
    """Lines for comparison: the models again (how well a run with another seed foretells one), and the ceiling."""
    runs = {rate: bench.twice(rate) for rate in rates}
    same = {column(rate): mean(foretold(run[:, 0].T, run[:, 1].T)) for rate, run in runs.items()}
    most = {column(rate): bench.ceiling(rate) for rate in rates}
    return [{"method": AGAIN, "family": None, **same}, {"method": CEILING, "family": None, **most}]


def column(rate: float) -> str:
    """The name of the LDS of models that keep this share of the rows."""
    return "LDS" if rate == 0.5 else f"LDS, {rate:g} kept"


def prediction(bench: Bench, found: Found, rates: Sequence[float] = (0.5,)) -> Figure:
    """LDS against the held-out models: the mean over queries with its interval, by the convention of `metrics.lds`."""
    line: Figure = {}
    for rate in rates:
        each = metrics.lds(found.values, *bench.held_out(rate))
        interval = metrics.bootstrap_interval(each)
        line |= {column(rate): mean(each)}
        line |= {f"{column(rate)} 95 %": f"{interval.low:.2f} to {interval.high:.2f}" if len(each) > 1 else None}
        line |= {f"{column(rate)} each": each.tolist()}
    return line
