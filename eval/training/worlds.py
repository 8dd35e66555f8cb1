"""The worlds that benchmarks of training methods are run on, by their options."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

from eval.harness import data as sets
from eval.harness.command import called
from eval.training import data
from eval.training.data import Facts
from eval.training.world import Size, World
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retraining import Recipe
from llmattr.retraining.scratch import KINDS, NAME, is_scratch
from llmattr.text.reading import read_queries, read_rows

W = TypeVar("W", bound=World)
LEARNED = 3.0  # nats by which a query must have become likelier to count as learned
MODELS = (200,)  # models that datamodels are fitted on
TINY = Size(held_out=6, runs=2, removed=2, patched=2)

OPTIONS = (
    click.option("--set", "name", type=click.Choice(["countries", "pararel", "fewrel"]), help="A public set of facts."),
    click.option("--count", type=click.IntRange(min=2), help="How many facts of it, or countries."),
    click.option("--train", help='Rows of your own, a file or hub id: {"prompt", "completion"}, with "fact" for the support.'),
    click.option("--queries", help="Queries of your own, of the same form; a row of the same fact is gold."),
    click.option(
        "--model", default=NAME, show_default=True, help=f"{' or '.join(KINDS)} (from random weights), or what is fine-tuned."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="Steps of each training; some passes over the rows without it."),
    click.option("--held-out", type=click.IntRange(min=0), help="Models that judge; 0 for none."),
    click.option("--jobs", type=int, help="Processes that train; 1 without it."),
)

NOTES = (
    "LDS: rank correlation with models that were trained on random parts of the rows, by masks drawn after every choice. QLD: "
    "nats that a query which the model knows loses when it is trained without its 3 best rows (1 % of the rows, if that "
    "is more); forgotten: the share of these that are then no longer likelier than not. 95 %: where several models judge all "
    "queries at once, the queries' facts and the models are both drawn again.",
    "MRR, AP, R@k, P@1: where the rows stand that state the fact. CPU s: the method's own, and that of the models that it "
    "needs, as if it were alone; bytes are what it keeps to answer further queries.",
)


def world(
    given: Mapping[str, Any], folder: Path, facts: Facts, *, of: str, size: Size, make: Callable[..., W] = World, **options: Any
) -> W:
    """The facts with the model and the recipe that the options ask for."""
    model = given["model"]
    if given["held_out"] is not None:
        size = Size(**{**vars(size), "held_out": given["held_out"]})
    if 0 < size.held_out < 4:
        raise LlmattrError("--held-out is 0, or at least 4: LDS is a rank correlation over these models")
    usual = {"batch_size": 32, "learning_rate": 3e-3} if is_scratch(model) else {"batch_size": 8}
    recipe = Recipe(**{"steps": given["steps"] or (30 if given["tiny"] else "auto"), **usual, **options.pop("recipe", {})})
    made = make(of, facts, recipe, folder, size, model, given["jobs"], **options)
    _ = made.ablation  # rows that cannot be trained on are refused before anything is written
    return made


def named(given: Mapping[str, Any], usual: str, model: str = NAME) -> str:
    """What a world's tables are called beside those of the usual set and model, which have no name, as those of one's own."""
    return "" if given["train"] else called(given["name"] or usual, given["model"], (usual, model))


def own(given: Mapping[str, Any], must_state: bool) -> Facts | None:
    """The user's rows and queries, where they are given."""
    if not given["train"]:
        return None
    if must_state:
        return data.own(given["train"], given["queries"])
    return Facts(read_rows(given["train"]), read_queries(given["queries"]))


def public(name: str, count: int | None) -> Facts:
    """The facts of a set; raises `LlmattrError` with the command that brings its data."""
    if name == "countries":
        return data.countries(count or 60)
    if name == "pararel":
        return data.pararel(sets.files("pararel"), count or 500)
    return data.fewrel(sets.files("fewrel"), count or 300)


def learned(made: World) -> tuple[World, str]:
    """Only the queries whose answers the model learned in this training, and a note of how many they are."""
    trainer = made.ablation.causal("learned queries")
    before, after = (trainer.measured(lm) for lm in (trainer.lm, LM.load(made.checkpoints()[-1])))
    kept = np.flatnonzero(after - before >= LEARNED)
    if not len(kept):
        raise LlmattrError("the model learned none of the facts: give more --steps")
    facts = Facts(made.facts.rows, [made.facts.queries[i] for i in kept])
    times = f"{np.exp(LEARNED):.0f} times as likely"
    return dataclasses.replace(
        made, facts=facts
    ), f"{len(kept)} of {len(made.facts.queries)} queries became {times}; these are asked."


def told(worlds: Sequence[World]) -> list[str]:
    """What there is to say of the worlds."""
    lines = []
    for one in worlds:
        lines.append(f"{one.of}: {len(one.rows)} rows, {len(one.queries)} queries.")
        if one.facts.gold.any() and (without := int((~one.facts.gold.any(axis=1)).sum())):
            lines.append(f"{without} queries ask what no row states: they do not count for MRR, recall, P@1.")
        if one.size.held_out:
            lines.append(
                f"Trained on all rows, a query's completion has the probability {np.exp(np.median(one.whole)):.2f} in the "
                f"median; {one.size.held_out} models judge."
            )
    return [*lines, *NOTES]
