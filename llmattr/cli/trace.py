"""`llmattr trace index | query | self`."""

from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr import training
from llmattr.cli.command import command_record
from llmattr.cli.files import check_folder, check_outputs, quiet, report
from llmattr.cli.given import Input, refuse, taken
from llmattr.cli.methods import MethodCommand, options_of
from llmattr.cli.question import QUESTION_OPTIONS, Question
from llmattr.cli.retrain import commands
from llmattr.cli.rows import ROWS_OPTIONS
from llmattr.cli.select import select_command
from llmattr.cli.verify import verify_command
from llmattr.core.method import find_method
from llmattr.core.processes import is_main
from llmattr.errors import LlmattrError
from llmattr.training.index.store import DTYPES
from llmattr.training.methods.auto import Auto
from llmattr.training.projection import Projection

if TYPE_CHECKING:
    from llmattr.training.contract import TrainingMethod
    from llmattr.training.query import TraceIndex


class IndexCommand(MethodCommand):
    """The same with the methods of training attribution, and with `auto`, which takes one of them."""

    methods: Mapping[str, type] = ChainMap({Auto.name: Auto}, training.METHODS)
    default = Auto.name


class TwoWays(click.Group):
    """A group whose help tells the commands on an index from those that train again."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are used."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section for each way."""
        again = {command.name for command in RETRAINING}
        for title, chosen in (("By gradients", set(self.commands) - again), ("By training again", again)):
            rows = [(name, self.commands[name].get_short_help_str(100)) for name in self.commands if name in chosen]
            with formatter.section(title):
                formatter.write_dl(rows)


RETRAINING = [*commands(), select_command(), verify_command()]


@click.group(cls=TwoWays)
def trace() -> None:
    """Say which training examples made a model say something.

    By gradients: make an index once, ask it often. Or by the truth: train again without some of the data, and look.
    """


for command in RETRAINING:
    trace.add_command(command)


@trace.command(cls=IndexCommand, options_metavar="--data D --out IDX [OPTIONS]")
@click.option("--data", required=True, type=Input(), help="JSON, CSV, parquet or texts: a file, folder or pattern; or a hub id")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="the folder of the index; the same command resumes it"
)
@click.option("--model", show_default="smollm2", help="hub id, folder, smollm2 or gemma3-270m: the model that was trained")
@click.option(
    "--checkpoints",
    multiple=True,
    help="instead of --model several (repeat it), or a Trainer's folder of them; scores are added",
)
@click.option(
    "--learning-rates",
    help="of the checkpoints, with commas between: 1e-3,5e-4; of trainer_state.json without (tracin, source)",
)
@click.option("--modules", default="", help="regular expression for the names of layers to track, instead of --parameters")
@click.option(
    "--rows", "row_type", type=click.Choice(list(DTYPES)), default="int8", show_default=True, help="how rows are stored"
)
@click.option("--strict", is_flag=True, help="refuse rows longer than the model's window instead of cutting them")
@click.option("--append", is_flag=True, help="add the data to a finished index")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="float32 without it")
@click.option("--device", help="cpu, cuda, cuda:1 ...; auto spreads a big model over all; the GPU where there is one")
@click.argument("unknown", nargs=-1, metavar="[METHOD]")
def index(
    unknown: tuple[str, ...],
    *,
    data: str,
    out: Path,
    model: str | None,
    method: "TrainingMethod",
    learning_rates: str | None,
    **how: Any,
) -> None:
    """Write what a method needs of every training example, such as one row of projected gradient."""
    if unknown:
        find_method(unknown[0], dict(IndexCommand.methods))
        raise LlmattrError(f"{unknown[0]!r} is one method too many")
    rates = _numbers(learning_rates)
    if not how["checkpoints"]:
        refuse("they are of --checkpoints", "learning_rates")
        model = model or "smollm2"
    check_folder(out)
    projection = taken(Projection, how)
    quiet()
    from llmattr.training.trace import build_index

    made = build_index(model, data, out, method, projection=projection, learning_rates=rates, **how)
    if not is_main():
        return  # one of several processes: the first speaks
    _remember(made)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 2**20
    run = made.index.run
    numbers = f" of {run['dim']} numbers" if run["dim"] else ""
    counted = f"; the loss counts {run['loss']}" if "loss" in run else ""  # which texts alone have not
    click.echo(f"{len(made)} row{'s' * (len(made) != 1)}{numbers} in {out} ({size:.1f} MB){counted}")


def _remember(made: "TraceIndex") -> None:
    """Add the command to the record of the (first) index, unless it only went on with what another had begun to add."""
    from llmattr.training.index.files import read_run, save_run

    folder = made.index.folder
    run = read_run(folder)
    commands = run.get("commands", [])
    if len(commands) == len(run["parts"]) - 1:  # one for each part that was added, or rows came from Python
        command = command_record(*(part.index.run for part in made.checkpoints if part.index.run.get("model")))
        save_run(folder, {**run, "commands": [*commands, command]})


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise LlmattrError(f"numbers with commas between are wanted, like 1e-3,5e-4, not {text!r}") from None


index.params += [*ROWS_OPTIONS, *options_of(Projection)]


@trace.command()
@click.argument("index", metavar="IDX", type=Input())
@click.option("--model", help="the model, where it is not at the place that the index names")
@click.option("--method", help="another than the index was built with, where its rows allow that: grad-cos of grad-dot's")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="rows shown for and against")
@click.option("--tokens", is_flag=True, help="trace each token of the completion by itself")
@click.option(
    "--rerank", type=click.IntRange(min=0), default=0, help="score so many rows again with whole gradients (grad-dot, grad-cos)"
)
@click.option("--group-by", help="whose is it: shares of the groups that have the same in this column of the rows")
@click.option(
    "--foreign",
    type=click.IntRange(min=0),
    help="rows that are asked as questions for the p-values: 199, and 0 of methods that need a pass of the model for them",
)
@click.option("--replicates", is_flag=True, help="of an index of several runs: mean and deviation over them, and what is noise")
@click.option("--approximate", is_flag=True, help="score only the rows that faiss proposes, for indexes of many millions")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def query(
    index: str,
    *,
    top: int,
    model: str | None,
    method: str | None,
    tokens: bool,
    rerank: int,
    replicates: bool,
    approximate: bool,
    group_by: str | None,
    foreign: int | None,
    html: Path | None,
    json: Path | None,
    **asked: Any,
) -> None:
    """Rank the training rows of the index IDX by how much they support or oppose a completion."""
    question = taken(Question, asked)
    question.check()
    if replicates:
        refuse("every row is scored by every run", "rerank", "group_by", "foreign", "approximate", "direction")
    check_outputs((), [out for out in (html, json) if out])
    quiet()
    from llmattr.report.ranking import ranking
    from llmattr.training.trace import open_index

    opened = open_index(index, model)
    if question.direction is not None:
        result = opened.along(question.vector(), top, layer=question.layer)
        return report(result, ranking(result, top), html=html, json=json)
    if replicates:
        from llmattr.certainty.again import over_models

        result = over_models(opened, question.rows(), tokens=tokens, method=method).attribution(top)
        return report(result, ranking(result, top), html=html, json=json)
    how = {"tokens": tokens, "rerank": rerank, "approximate": approximate, "group_by": group_by, "foreign": foreign}
    result = opened.query(question.rows(), top, method=method, **how)
    report(result, ranking(result, top), html=html, json=json)


query.params += [*QUESTION_OPTIONS, *ROWS_OPTIONS]


@trace.command("self")
@click.argument("index", metavar="IDX", type=Input())
@click.option("--model", help="the model, where it is not at the place that the index names")
@click.option("--method", help="another than the index was built with, where its rows allow that: grad-cos of grad-dot's")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="rows shown")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def self_influence(index: str, *, model: str | None, method: str | None, top: int, json: Path | None) -> None:
    """Rank the training rows by their score for themselves: unusual, hard or mislabelled ones come first."""
    check_outputs((), [out for out in (json,) if out])
    quiet()
    from llmattr.report.ranking import ranking
    from llmattr.training.trace import open_index

    result = open_index(index, model).self_influence(top, method)
    report(result, ranking(result, top), json=json)
