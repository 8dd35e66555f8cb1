"""`llmattr edit`: a model without the parts that carry some completions."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.components import ComponentsCommand
from llmattr.cli.files import check_folder, quiet
from llmattr.cli.given import Input
from llmattr.core.method import check_options, find_method
from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    from llmattr.components.contract import Method


@click.command(cls=ComponentsCommand, options_metavar="--targets T --reference R --out FOLDER [OPTIONS]")
@click.argument("unknown", nargs=-1, metavar="[METHOD]")
@click.option("--targets", required=True, type=Input(), help="a file of rows with prompt and completion: what is to change")
@click.option("--reference", required=True, type=Input(), help="a file of rows with prompt and completion: what is to stay")
@click.option("--text", type=Input(), help="a file of rows with text: its drift is measured, too")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="the new folder of the edited model")
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, help="components to remove, at most")
@click.option(
    "--aim", type=click.Choice(["lower", "raise"]), default="lower", show_default=True, help="what becomes of the targets"
)
@click.option(
    "--max-drift",
    type=click.FloatRange(min=0),
    help="nats: nothing is saved where a completion of the reference, or a token of the text, is further off on average",
)
@click.option("--parts", default="heads", show_default=True, help="heads, mlps, attentions, neurons; several: heads+mlps")
@click.option(
    "--way",
    type=click.Choice(["zero", "mean"]),
    default="zero",
    show_default=True,
    help="what a removed component gives: nothing, or its mean, where the model has a bias that can hold it",
)
@click.option("--sample", type=Input(), help="a file of rows whose tokens the mean is over; the prompts' own without it")
@click.option("--model", default="smollm2", show_default=True, help="hub id, folder, smollm2 or gemma3-270m")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="what effects and drift are computed in; the model is saved in its own",
)
@click.option("--device", help="cpu, cuda, cuda:1 ...; the GPU where there is one")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of everything that is drawn")
def edit(
    unknown: tuple[str, ...], *, targets: str, reference: str, out: Path, method: "Method", model: str, **options: Any
) -> None:
    """Save a model without the components that carry some completions and spare others, and say what else it changes."""
    if unknown:
        find_method(unknown[0], dict(ComponentsCommand.methods))
        raise LlmattrError(f"{unknown[0]!r} is one method too many")
    check_options(method)
    check_folder(out)
    quiet()
    from llmattr.components.edit import check_new
    from llmattr.components.edit import edit as edited
    from llmattr.report.edit import text

    check_new(out)
    made = edited(model, targets, reference, out, method, **options)
    click.echo(f"{text(made)}\nedited model: {out}", color=False if os.environ.get("NO_COLOR") else None)
