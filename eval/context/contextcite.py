"""ContextCite in its own setting, with a smaller model: `python -m eval contextcite`.

Its masks, its lasso at alpha 0.01, its target (the log-odds of the whole answer), its metric (rank correlation with held-out
ablations) on HotpotQA with all ten paragraphs: LDS against the number of ablations, beside the baselines that it was compared
with. Cohen-Wang et al. 2024, arXiv 2409.00729, section 4; there with Llama-3-8B and Phi-3-mini on up to 1,000 questions.
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from eval import RESULTS
from eval.context.case import Case, Size
from eval.context.meter import Timed
from eval.context.questions import OPTIONS, problems
from eval.harness.command import plain_name
from eval.harness.entries import at_budgets, entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr.context import METHODS

USUAL = Size(least=20, most=60, held_out=64, answer=64)
BASELINES = ("leave-one-out", "attention", "gradient-input", "embeddings", "random", "length", "word-share")
NOTES = (
    "Published: curves alone, no table of numbers; in words, 32 ablations match the baselines or are above them.",
    "Here besides: the same masks with the penalty chosen by held-out error (context-cite), which is llmattr's default.",
)


class WholeAnswer(Case):
    """A case whose only target is the whole answer."""

    @cached_property
    def ablation(self) -> Timed:
        """The ablation of the whole answer."""
        every = super().ablation
        return dataclasses.replace(every, targets=every.targets[:1])


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """HotpotQA's questions, context-cite as it is published and by default, and the paper's baselines."""
    asked = budgets(given["budget"], (16, 8) if given["tiny"] else (64, 32, 128, 256))
    given = {**given, "sets": given["sets"] or ("canal" if given["tiny"] else "hotpotqa")}
    others = entries({name: METHODS[name] for name in BASELINES}, split(given["methods"]), ())
    cases, notes = problems(given, folder, gold_answer=False, usual=USUAL, make=WholeAnswer)
    cite = METHODS["context-cite"]
    lines = [*at_budgets("alpha 0.01", cite, {"alpha": 0.01}, asked), *at_budgets("context-cite", cite, {}, asked)]
    who = "tiny" if given["tiny"] else plain_name(given["model"])
    return Plan(
        about=f"{who} and its own answers, judged by {cases[0].size.held_out} held-out ablations of each.",
        problems=cases,
        entries=[*lines, *others],
        measures=("LDS", "drop 1", "drop 3"),
        base="alpha 0.01",
        against=("LDS",),
        budgets=asked,
        notes=lambda measured: [*notes, *NOTES],
    )


command = benchmark("contextcite", __doc__ or "", plan, RESULTS / "contextcite.json", *OPTIONS)
