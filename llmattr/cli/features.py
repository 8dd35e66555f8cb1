"""`llmattr features`: dictionaries of features of a model: learnt, looked at, and steered by."""

from pathlib import Path
from typing import Any, get_args

import click

from llmattr.cli.files import check_folder, check_outputs, quiet
from llmattr.cli.given import Amount, Input, taken, typed
from llmattr.components.features.hook import Hook, Place
from llmattr.components.features.plan import Plan
from llmattr.core.files import write
from llmattr.errors import LlmattrError

NUMBER = click.IntRange(min=1)
OF_MODEL = (
    click.option("--model", default="smollm2", show_default=True, help="hub id, folder, smollm2 or gemma3-270m"),
    click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True),
    click.option("--device", help="cpu, cuda, cuda:1 ...; the GPU where there is one"),
)


def of_model(command: click.Command) -> click.Command:
    """The command with the options of the model that it loads."""
    for option in OF_MODEL:
        option(command)
    return command


@click.group()
def features() -> None:
    """Features of a model: sparse directions of what stands at one of its layers. `llmattr components` attributes to them."""


@of_model
@features.command(options_metavar="--layer L --out FOLDER [OPTIONS]")
@click.argument("data", type=Input())
@click.option("--layer", type=click.IntRange(min=0), required=True, help="behind which layer, from 0")
@click.option("--place", type=click.Choice(get_args(Place)), default="stream", show_default=True, help="what of it")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="the new folder; SAELens reads it, too")
@click.option("--size", type=NUMBER, default=Plan.size, show_default=True, help="how many features")
@click.option("--k", type=NUMBER, help=f"features active at a token (TopK); {Plan.k} without --l1")
@click.option("--l1", type=Amount(min=0), default=0.0, help="in the place of --k a penalty of ReLU's codes, about 5")
@click.option("--steps", type=NUMBER, default=Plan.steps, show_default=True)
@click.option("--batch", type=NUMBER, default=Plan.batch, show_default=True, help="tokens of a step")
@click.option(
    "--learning-rate", type=Amount(min=0, min_open=True), default=Plan.learning_rate, show_default=True, help="of Adam"
)
@click.option("--tokens", type=NUMBER, default=200_000, show_default=True, help="of the data that are read, at most")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of everything that is drawn")
def train(data: str, **options: Any) -> None:
    """Learn a dictionary from the texts of a file or folder. A run that was stopped goes on where it was."""
    if typed("k") and typed("l1"):
        raise LlmattrError("--k and --l1 are one too many: features are sparse by one of both")
    options["k"] = None if typed("l1") else options["k"] or Plan.k
    plan, hook = taken(Plan, options), Hook(options.pop("layer"), options.pop("place"))
    plan.check()
    out = options["out"]
    check_folder(out)
    quiet()
    from llmattr.components.features.train import check_new
    from llmattr.components.features.train import train as trained
    from llmattr.model.lm import LM

    check_new(out)
    lm = LM.load(options.pop("model"), dtype=options.pop("dtype"), device=options.pop("device"))
    found, quality = trained(lm, data, hook=hook, plan=plan, **options)
    where = f"{len(found.rows)} features of the {hook.place} of layer {hook.layer}"
    good = f"FVU {quality.fvu:.3f}, L0 {quality.l0:.1f}, dead {quality.dead:.1%}"
    click.echo(f"{where}; {good} (on {quality.tokens} held-out tokens)\ndictionary: {out}")


@of_model
@features.command(options_metavar="--data D [OPTIONS]")
@click.argument("dictionary", type=Input())
@click.argument("feature", type=click.IntRange(min=0))
@click.option("--data", required=True, type=Input(), help="texts to look through: a file or folder of rows")
@click.option("--top", type=NUMBER, default=10, show_default=True, help="examples and neighbours that are shown")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser")
def show(dictionary: str, feature: int, data: str, top: int, html: Path | None, **model: str | None) -> None:
    """Show where a FEATURE of a DICTIONARY is most active, and the features nearest to it."""
    check_outputs((data,), [html] if html else [])
    quiet()
    from llmattr.components.features.activations import read_pieces
    from llmattr.components.features.folders import load_dictionary
    from llmattr.components.features.looking import look
    from llmattr.model.lm import LM
    from llmattr.report.feature import page, text

    lm = LM.load(**model)
    found = load_dictionary(dictionary, lm.device)
    looked = look(lm, found, feature, read_pieces(lm, data), top)
    written = [f"HTML page: {write(html, page(looked, found, lm))}"] if html else []
    click.echo("\n".join([text(looked, found), *written]))


@of_model
@features.command(options_metavar="--to CODE [OPTIONS]")
@click.argument("dictionary", type=Input())
@click.argument("feature", type=click.IntRange(min=0))
@click.argument("prompt")
@click.option("--to", required=True, type=Amount(), help="the code that it is held at; `show` says how high it is in texts")
@click.option("--max-new-tokens", type=NUMBER, default=40, show_default=True, help="longest continuation")
def steer(dictionary: str, feature: int, prompt: str, to: float, max_new_tokens: int, **model: str | None) -> None:
    """Continue a PROMPT as the model does, and with a FEATURE of a DICTIONARY held at a code, at every token."""
    quiet()
    from llmattr.components.features.folders import load_dictionary
    from llmattr.components.features.steering import continued, steered
    from llmattr.model.lm import LM
    from llmattr.report.lines import plain

    lm = LM.load(**model)
    found = load_dictionary(dictionary, lm.device)
    with_it = steered(lm, found, feature, to, prompt, max_new_tokens=max_new_tokens)
    click.echo(f"as it is:\n{plain(prompt + continued(lm, prompt, max_new_tokens))}\n")
    click.echo(f"with feature {feature} at {to:g}:\n{plain(prompt + with_it)}")
