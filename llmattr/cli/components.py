"""`llmattr components`: which heads, MLPs, layers or neurons made the model say this."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from llmattr import components as family
from llmattr.cli.files import check_outputs, quiet, report
from llmattr.cli.given import Input, refuse, typed
from llmattr.cli.methods import MethodCommand
from llmattr.core.method import check_options
from llmattr.core.sources import Measure
from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    from llmattr.components.contract import Method
    from llmattr.text.reading import Queries

OF_ONE = ("completion", "rather_than", "counterfactual")  # what a prompt that is typed has beside it


class ComponentsCommand(MethodCommand):
    """The same with the methods of components."""

    methods: Mapping[str, type] = family.METHODS
    default = "verified"


@click.command(cls=ComponentsCommand, options_metavar="--completion C [OPTIONS]")
@click.argument("prompt", metavar="PROMPT [METHOD]", nargs=-1)
@click.option("--completion", help="what the model says behind the prompt: what made it likely?")
@click.option("--rather-than", help="another completion: what makes the model say the first and not this one?")
@click.option("--counterfactual", help="another prompt of as many tokens, for --way resample")
@click.option(
    "--data",
    type=Input(),
    help="in the place of PROMPT a file of rows with prompt, completion, and rather_than or counterfactual where they have any",
)
@click.option("--mean", is_flag=True, help="one target: the mean over the rows")
@click.option(
    "--parts",
    default="heads",
    show_default=True,
    help="heads, mlps, attentions, layers, neurons; features of a dictionary; several: heads+mlps",
)
@click.option("--dictionary", type=Input(), help="a folder of SAELens, sparsify or `llmattr features`, for --parts features")
@click.option(
    "--way",
    type=click.Choice(["zero", "mean", "resample"]),
    default="zero",
    show_default=True,
    help="what a removed component gives: nothing, its mean, or what it computes on the counterfactual",
)
@click.option("--sample", type=Input(), help="a file of rows whose tokens the mean is over; the prompts' own without it")
@click.option("--measure", type=click.Choice(get_args(Measure)), default="logprob", show_default=True, help="of the completion")
@click.option("--circuits", is_flag=True, help="also measure what the strongest do alone (ten more ablations a completion)")
@click.option("--model", default="smollm2", show_default=True, help="hub id, folder, smollm2 or gemma3-270m")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option("--device", help="cpu, cuda, cuda:1 ...; the GPU where there is one")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of everything that is drawn")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="components shown for and against")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser: a map of layers and heads")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def components(
    prompt: tuple[str, ...],
    *,
    completion: str | None,
    rather_than: str | None,
    counterfactual: str | None,
    data: str | None,
    method: "Method",
    seed: int,
    circuits: bool,
    top: int,
    html: Path | None,
    json: Path | None,
    **options: Any,
) -> None:
    """Say which components of the model made it say a completion: they are removed, or what that does is foretold."""
    one = {"completion": completion, "rather_than": rather_than, "counterfactual": counterfactual}
    queries = _asked(prompt, {name: text for name, text in one.items() if text is not None}, data)
    if options["way"] != "resample":
        refuse("a counterfactual is what parts are resampled from (--way resample)", "counterfactual")
    check_options(method)
    check_outputs((data,) if data else (), [out for out in (html, json) if out])
    quiet()
    from llmattr.components.build import attributed, component_ablation
    from llmattr.model.lm import LM
    from llmattr.report.ranking import ranking

    lm = LM.load(options.pop("model"), dtype=options.pop("dtype"), device=options.pop("device"))
    ablation = component_ablation(lm, queries, **options)
    result = attributed(ablation, method, seed, circuits)
    report(result, ranking(result, top), html=html, json=json, models=[{**lm.record(), **lm.fingerprint()}])


def _asked(prompt: tuple[str, ...], one: dict[str, str], data: str | None) -> "Queries":
    """The file of rows, or the one row that was typed; raises `LlmattrError` where it is not one of both."""
    if data is not None:
        if prompt or one:
            raise LlmattrError(f"{typed(*OF_ONE) or repr(prompt[0])} and --data are one too many: a file has its own prompts")
        return data
    if len(prompt) > 1:
        raise LlmattrError(f"{prompt[1]!r:.60} is one prompt too many (methods: {', '.join(family.METHODS)})")
    if not prompt or not one.get("completion"):
        raise LlmattrError("give a PROMPT and its --completion, or --data with a file of them")
    return {"prompt": prompt[0], **one}
