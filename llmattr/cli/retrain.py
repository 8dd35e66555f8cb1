"""`llmattr trace datamodel | leave-one-out | shapley | ...`: attribution to training data by training again."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr import retraining
from llmattr.cli.files import check_folder, check_outputs, quiet, report
from llmattr.cli.given import Input, refuse, taken, typed
from llmattr.cli.methods import first_line, options_of, with_options_of
from llmattr.cli.rows import ROWS_OPTIONS
from llmattr.core.method import check_listed, check_options
from llmattr.core.sources import Measure
from llmattr.errors import LlmattrError, note
from llmattr.retraining import Recipe
from llmattr.retraining.contract import Ignores, Method
from llmattr.retraining.scratch import KINDS, NAME, is_scratch

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution
    from llmattr.retraining.ablation import RetrainingAblation
    from llmattr.text.reading import Queries


@dataclass(frozen=True)
class Retraining:
    """Which model is trained again, on which rows, and what is measured then: the options of `RUN_OPTIONS`."""

    model: str
    data: str
    queries: str | None
    prompt: str
    completion: str | None
    out: Path
    group_by: str | None
    measure: Measure
    mean: bool
    replicates: int
    jobs: int | None
    seed: int
    split: str | None
    columns: dict[str, str] | None
    train: str | None

    @property
    def asked(self) -> "str | dict[str, str]":
        """The file of queries, or the one query that was typed; raises `LlmattrError` where it is not one of both."""
        return asked_for(self.queries, self.prompt, self.completion)

    def ablation(self, recipe: Recipe, asked: "Queries | None" = None) -> "RetrainingAblation":
        """Trains so, by this recipe or by a command, and measures what is `asked`; without it, what was typed."""
        from llmattr.retraining.build import retraining_ablation

        if self.train is not None:
            refuse("--train says how a model is trained", "model", *(field.name for field in dataclasses.fields(Recipe)))

        return retraining_ablation(
            self.model,
            self.data,
            self.asked if asked is None else asked,
            out=self.out,
            group_by=self.group_by,
            recipe=recipe,
            measure=self.measure,
            mean=self.mean,
            replicates=self.replicates,
            jobs=self.jobs,
            seed=self.seed,
            split=self.split,
            columns=self.columns,
            train=self.train,
        )

    def models(self, ablation: "RetrainingAblation") -> list[dict[str, Any]]:
        """The record of the model that was loaded by its name; a scratch one is made of the data."""
        return [] if self.train is not None or is_scratch(self.model) else [ablation.trainer.record()]


RUN_OPTIONS = [
    click.Option(
        ["--data"],
        required=True,
        type=Input(),
        help="the training rows: JSON lines, CSV, parquet, a datasets folder, or a hub id",
    ),
    *ROWS_OPTIONS,
    click.Option(["--queries"], type=Input(), help="a file of rows like the training data: what is traced"),
    click.Option(["--prompt"], default="", help="instead of a file of queries: what the model is given"),
    click.Option(["--completion"], help="what it says then, to be traced"),
    click.Option(
        ["--out"],
        required=True,
        type=click.Path(path_type=Path, file_okay=False),
        help="the folder where trained models' outputs are kept; the same command goes on, more models cost only what they add",
    ),
    click.Option(
        ["--model"],
        default=NAME,
        show_default=True,
        help=f"hub id or folder; {' or '.join(KINDS)}: a small one over the data's words",
    ),
    click.Option(
        ["--train"],
        help="your own training: a command with {rows} (a file) and {out} (a folder for the model), {seed} where it takes one",
    ),
    click.Option(["--group-by"], help="a column: rows that have the same there are one source"),
    click.Option(
        ["--measure"],
        type=click.Choice(["logprob", "logit"]),
        default="logprob",
        show_default=True,
        help="of a query's counted tokens",
    ),
    click.Option(["--mean"], is_flag=True, help="one target: the mean over the queries"),
    click.Option(
        ["--replicates"],
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="models with different seeds that each output is the mean of",
    ),
    click.Option(["--jobs"], type=int, help="processes that train; 1 without it"),
    click.Option(["--seed"], type=click.IntRange(min=0), default=0, show_default=True, help="of everything that is drawn"),
]
VERIFY = click.Option(
    ["--verify"],
    type=click.IntRange(min=0),
    default=0,
    help="predict what is left without so many of each query's best sources, train without them, and show both",
)
OPTIONS = [
    *RUN_OPTIONS,
    click.Option(["--top"], type=click.IntRange(min=1), default=10, show_default=True, help="rows shown for and against"),
    click.Option(["--html"], type=click.Path(path_type=Path), help="write a page to read in a browser"),
    click.Option(["--json"], type=click.Path(path_type=Path), help="write the result as JSON"),
]


def commands() -> list[click.Command]:
    """One command for each method that trains again."""
    check_listed(retraining.METHODS)
    return [_command(name, method) for name, method in retraining.METHODS.items()]


def _command(name: str, method: type) -> click.Command:
    verify = [VERIFY] if method in retraining.ON_MASKS else []
    ignored = _ignored(method)
    params: list[click.Parameter] = with_options_of(method, [*OPTIONS, *verify, *options_of(Recipe)])

    def run(**given: Any) -> None:
        if said := typed(*ignored):
            note(f"{name} does not use {said}")
        _trace(taken(method, given), taken(Recipe, given), taken(Retraining, given), **given)

    about = first_line(method)
    usage = "--data D --queries Q --out RUNS [OPTIONS]"
    brief = re.sub(r" \([^)]*\)", "", about)  # without the paper
    return click.Command(name, callback=run, params=params, help=about, short_help=brief, options_metavar=usage)


def _ignored(method: object) -> tuple[str, ...]:
    """The options that a method of this class does not use."""
    return method.ignores if isinstance(method, Ignores) else ()


def _trace(
    method: Method,
    recipe: Recipe,
    asked: Retraining,
    *,
    top: int,
    html: Path | None,
    json: Path | None,
    verify: int = 0,
) -> None:
    check_options(method)
    _ = asked.asked  # mistakes show before anything is loaded
    check_outputs((), [path for path in (html, json) if path])
    check_folder(asked.out)
    quiet()
    from llmattr.curation.counterfactual import verified
    from llmattr.report.ranking import ranking
    from llmattr.retraining.build import attributed

    ablation = asked.ablation(recipe)
    result = attributed(ablation, method)
    if verify:
        result = dataclasses.replace(result, verified=verified(result, ablation, verify))
    text = "\n".join([ranking(result, top), *(_verified(result) if verify else [])])
    report(result, text, html=html, json=json, models=asked.models(ablation))


def asked_for(queries: str | None, prompt: str, completion: str | None) -> str | dict[str, str]:
    """The file of queries, or the one query that was typed."""
    if queries is not None and completion is None and not prompt:
        return queries
    if queries is not None or completion is None:
        raise LlmattrError("give --completion (with its --prompt), or --queries with a file, and not both")
    if completion == "":
        raise LlmattrError("the completion is empty: there is nothing to trace")
    return {"prompt": prompt, "completion": completion}


def _verified(result: "Attribution") -> list[str]:
    """The predictions beside what was seen, a line for each target; what cannot be is marked."""
    found, impossible = result.verified or {}, result.targets.measure == "logprob"

    def cells(part: dict[str, list[float]], t: int) -> list[str]:
        predicted, seen = part["predicted"][t], part["seen"][t]
        return [f"{predicted:+.2f}{'*' if impossible and predicted > 0 else ' '}", f"{seen:+.2f}"]

    rows = [["", "all", "predicted", "trained", f"without {found['removed']}", "predicted", "trained"]]
    for t, text in enumerate(result.targets.texts):
        rows.append([" ".join(text.split())[:40], "", *cells(found["all"], t), "", *cells(found["without"], t)])
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines = ["", f"With all sources, and without the {found['removed']} best of each query ({result.unit}):", *lines]
    if any("*" in cell for row in rows[1:] for cell in row[1:]):
        lines.append("* no log-probability is above 0: there the linear fit goes past what is possible")
    return lines
