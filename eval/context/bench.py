"""Context attribution compared: `python -m eval context`.

Every method of `llmattr.context.METHODS` on questions with documents: does it foretell ablations that it has not seen (LDS),
is something lost without its best sources (drop), does it find the sentences that people marked, and what does it cost?
Every score and ablation is kept as it comes, so that a run that was stopped goes on from what it has.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.context.case import GOLD, RANKS, Size
from eval.context.questions import OPTIONS, problems, right_answers
from eval.harness.command import plain_name
from eval.harness.contract import Entry
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr.context import METHODS

# Lines of a method beside its defaults.
SETTINGS = {
    "context-cite": {"context-cite": {}, "context-cite, alpha 0.01": {"alpha": 0.01}},
    "attention": {"attention": {}, "attention, length": {"kind": "length"}},
}
USUAL = Size()
FIT = 128  # ablations of the linear fit that is there for comparison
PREDICTION = ("LDS", "drop 1", "drop 3", "counterfactual error", "deletion", "insertion")
SUPPORT = ("AP", "MRR", "P@1", "AUROC", *(f"R@{k}" for k in RANKS), "cited precision", "cited recall", "cited f1")
NOTES = (
    "LDS: rank correlation with held-out ablations, 1 = foretold, 0 = as random scores. Drop k: nats of log-odds lost without "
    "the k highest sources. Counterfactual error: nats from what the scores foretell without their own 3 highest sources to "
    "what happens; lower is better. Mean over the answer and, where it has several, its sentences. Linear fit: a ridge "
    "regression of so many ablations, for what more of them bring; it is no bound.",
    "AP, MRR, P@1, AUROC, R@k: the scores of the whole answer against the sentences that people marked as supporting the true "
    "answer, where the model's answer contains that one (of a wrong answer they say nothing). Cited: by the method's own rule; "
    "similarities cite nothing.",
    "Passes and tokens: what is forwarded if the method runs alone and shares no prefixes; a backward pass counts as one more. "
    "CPU s: if it runs alone on a question, in the median; ablations that are scored together share prefixes, and each has the "
    "part of their seconds that its tokens have of their tokens.",
    "context-cite, alpha 0.01: the penalty as it is published; context-cite chooses its own by held-out error.",
)


def plan(given: Mapping[str, Any], folder: Path, usual: Size = USUAL) -> Plan:
    """The questions, every method at its budget, gold sentences and a linear fit of many ablations."""
    asked = budgets(given["budget"], (16,) if given["tiny"] else (64,))
    lines = entries(METHODS, split(given["methods"]), asked, SETTINGS)
    cases, notes = problems(given, folder, given["gold_answers"], usual=usual)
    fit = 32 if given["tiny"] else FIT
    ridge = METHODS["ridge"](n_ablations=fit, bootstraps=0)
    who = "tiny" if given["tiny"] else plain_name(given["model"])
    answers = "the answers that the data gives" if given["gold_answers"] else "its own answers"
    return Plan(
        about=f"{who} and {answers}, judged by {cases[0].size.held_out} held-out ablations of each.",
        problems=cases,
        entries=[*lines, Entry(GOLD), Entry(f"linear fit of {fit}", ridge, is_reference=True)],
        measures=(*PREDICTION, *SUPPORT),
        base="context-cite",
        against=("LDS", "AP"),
        budgets=asked,
        notes=lambda measured: [*notes, *right_answers(measured), *NOTES],
    )


GOLD_ANSWERS = click.option(
    "--gold-answers", is_flag=True, help="Attribute the answer that the data gives, not the model's own."
)
command = benchmark("context", __doc__ or "", plan, RESULTS / "context.json", *OPTIONS, GOLD_ANSWERS)
