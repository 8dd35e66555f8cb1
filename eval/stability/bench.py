"""Stability: would the scores be the same again? `python -m eval stability`.

The same context by other seeds of its ablations, at smaller budgets, and asked in other words; the same small model trained
with other initial weights, another order of its rows, and at its last checkpoints. How far do a method's scores agree? And are
the p-values of replicates as even as promised where two trainings are equal, and is a known effect found as often?
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.context.case import Model
from eval.context.case import Size as ContextSize
from eval.harness.command import beside, check, plain_name, publish, refusing, with_options
from eval.harness.contract import Entry
from eval.harness.entries import entries, named
from eval.harness.parts import quiet_thread
from eval.harness.run import OPTIONS, Plan, budgets, measured, split
from eval.stability import chance, contexts, trainings
from eval.stability.agreement import BEST, NOGUEIRA
from llmattr.certainty.stability import MEASURES
from llmattr.context import METHODS as CONTEXT
from llmattr.errors import LlmattrError
from llmattr.training import METHODS as TRAINING

OUT = RESULTS / "stability.json"
SETS = ("hotpotqa", "2wiki", "qed")
TINY = trainings.Size(countries=4, steps=12, seeds=6)
USUAL = {  # methods of each side
    "context": ("context-cite", "ridge", "banzhaf", "shapley", "leave-one-out", "source-gates", "attention", "bm25"),
    "training": ("grad-dot", "grad-cos", "trak", "trackstar", "logra", "ekfac", "rep-sim", "bm25"),
    "chance": ("grad-dot", "grad-cos", "trak", "trackstar", "logra", "ekfac", "rep-sim"),
}
NOTES = (
    f"Means over all pairs of runs: Kendall's and Spearman's rank correlation, Jaccard of the {BEST} best, and rank-biased "
    "overlap; Nogueira's index of the same best over all runs. 1 = the same every time; chance is 0, of jaccard and rbo what "
    "random has. What draws nothing, has no budget, or reads no question or no model is 1 there by itself.",
)
ABOUT_CHANCE = (
    "KS: the largest distance of the p-values from even ones; KS p: how often as many even and independent ones are as far, "
    "which pairs of one model are not. False: the share of p below 5 %, where nothing differs. Found: the same where each pair "
    f"differs by {chance.EFFECT:g} deviation; promised: by `llmattr.certainty.power_of`. Planted noise is normal, its "
    "pairs independent.",
)


def context_side(given: Mapping[str, Any], folder: Path) -> Plan:
    """A few questions, by every variation."""
    tiny = given["tiny"]
    asked = budgets(given["budget"], (16,) if tiny else (32,))
    size = ContextSize(least=3, most=12, held_out=0, answer=8 if tiny else 32)
    model = Model("tiny" if tiny else given["model"])
    count = given["examples"] or (1 if tiny else 4 if given["full"] else 2)
    made = contexts.cases(("canal",) if tiny else SETS, count, model, size, folder)
    who = "tiny" if tiny else plain_name(given["model"])
    return Plan(
        about=f"{who} and its own answers to {len(made) // len(contexts.VARIATIONS)} questions, each attributed several times.",
        problems=made,
        entries=entries(CONTEXT, wanted(given, "context"), asked),
        measures=measures(contexts.VARIATIONS),
        base="context-cite",
        against=("kendall, seeds", "kendall, paraphrases"),
        budgets=asked,
        notes=lambda measured: NOTES,
    )


def training_side(given: Mapping[str, Any], folder: Path) -> Plan:
    """A small model of some countries' capitals, by every variation."""
    learner = trainings.learner(TINY if given["tiny"] else trainings.Size())
    return Plan(
        about=told(learner),
        problems=[trainings.Trained(learner, one) for one in trainings.VARIATIONS],
        entries=entries(TRAINING, wanted(given, "training"), ()),
        measures=measures(trainings.VARIATIONS),
        base="grad-dot",
        against=("kendall, seeds",),
        unit="facts",
        notes=lambda measured: NOTES,
    )


def chance_side(given: Mapping[str, Any], folder: Path) -> Plan:
    """The seeds of the training side, one half against the other."""
    learner = trainings.learner(TINY if given["tiny"] else trainings.Size())
    lines = [Entry(name, TRAINING[name]()) for name in wanted(given, "chance")]
    return Plan(
        about=f"{told(learner)} Half of the seeds against the other half: two equal trainings.",
        problems=[chance.Equal(trainings.Trained(learner, "seeds"))],
        entries=[Entry(chance.NOISE), *lines],
        measures=("KS", "KS p", "false", "found", "promised", "pairs"),
        base=chance.NOISE,
        against=(),
        notes=lambda measured: ABOUT_CHANCE,
    )


SIDES = {"context": context_side, "training": training_side, "chance": chance_side}
KNOWN: Mapping[str, Mapping[str, Any]] = {"context": CONTEXT, "training": TRAINING, "chance": TRAINING}


def wanted(given: Mapping[str, Any], side: str) -> list[str]:
    """The methods of a side: those that are asked for and can be there, the usual ones without any."""
    asked = split(given["methods"])
    named({**CONTEXT, **TRAINING}, asked)  # one that no side has is refused
    fit = [name for name, method in KNOWN[side].items() if side != "chance" or method.family in ("predictive", "corroborative")]
    return [name for name in fit if name in (asked or USUAL[side])]


def measures(variations: Sequence[str]) -> tuple[str, ...]:
    """The columns of a side."""
    return tuple(f"{name}, {one}" for name in (*MEASURES, NOGUEIRA) for one in variations)


def told(learner: trainings.Learner) -> str:
    """What is trained."""
    facts, size = learner.facts, learner.size
    return f"{len(facts.rows)} rows that state {len(facts.queries)} facts; {size.steps} steps, {size.seeds} seeds."


MORE = (
    click.option("--side", type=click.Choice(["all", *SIDES]), default="all", show_default=True, help="One of the tables."),
    click.option("--model", default="smollm2", show_default=True, help="What is asked about contexts."),
    click.option("--examples", type=click.IntRange(min=1), help="Questions of each set (2)."),
)


@click.command("stability", help=__doc__)
@with_options((*OPTIONS, *MORE))
def command(**given: Any) -> None:
    """Measure the sides one after the other; each is printed and saved when it is done."""
    check(given)
    out = given["out"] or OUT
    with refusing(), quiet_thread():
        asked = [side for side in SIDES if given["side"] in ("all", side) and wanted(given, side)]
        if not asked:
            raise LlmattrError(f"none of these methods is of the side {given['side']}")
        for side in asked:
            sections, how = measured(SIDES[side], given, out.with_suffix(".kept") / f"{side}.json")
            others = tuple(other for other in SIDES if other != side)
            publish("stability", beside(sections, side), how, out, stays=lambda part, others=others: part.startswith(others))
