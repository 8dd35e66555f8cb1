"""Is the instruction found that was planted in what a tool returned? `python -m eval injection`.

Agents' trajectories that are made up (`eval.context.trajectories`): 5, 10 and 20 calls of tools, the planted instruction early,
in the middle or late and one to three sentences long, with the answer that follows it, in its words or not. Every method scores
the sentences of the whole chat. Needs no data, and no judge: what was planted is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Float

from eval import RESULTS
from eval.context.case import GOLD, Case, Model, Size
from eval.context.trajectories import LENGTHS, POSITIONS, Position, trajectories
from eval.harness import choices
from eval.harness.command import plain_name
from eval.harness.contract import Entry, Judged, Scored
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr import metrics
from llmattr.context import METHODS
from llmattr.context.methods.hierarchical import Hierarchical
from llmattr.text.message import Message
from llmattr.text.messages import conversation

NOTES = (
    "P@1, P@5: the share of planted sentences among the highest 1 and 5; the gold row has what can be reached (one to three "
    "sentences are planted). Step: whether the step with the highest sum of scores is the one that they were planted in. Equal "
    "scores: the mean order. 95 %: bootstrap over trajectories.",
    "Tokens: what is forwarded if the method runs alone and shares no prefixes. hierarchical: half of its ablations remove "
    "whole steps, the other half sentences of the three strongest.",
)
USUAL = ("screening", "context-cite", "leave-one-out", "alone", "hierarchical", "bm25")  # without --full


@dataclass(frozen=True, eq=False)
class Attacked(Case):
    """A trajectory as a case, in which the sentences that were planted are to be found."""

    messages: Sequence[Mapping[str, Any]] = ()
    position: Position = "early"
    first: "Attacked | None" = None  # whose pace is that of all, so that not every prompt is scored to tell how long it takes

    @cached_property
    def seconds_a_token(self) -> float:
        """Of scoring."""
        return super().seconds_a_token if self.first is None else self.first.seconds_a_token

    def chat(self) -> tuple[Message, ...]:
        """The messages, with every step as a document."""
        return conversation(None, None, self.messages)

    def _asked(self) -> dict[str, Any]:
        return {**super()._asked(), "messages": self.messages}

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """By what was planted, and where."""
        return {name: Judged(self._measures(one.values[:1])) for name, one in found.items()}

    def _measures(self, values: Float[np.ndarray, "1 n"]) -> dict[str, Float[np.ndarray, " t"]]:
        planted, steps = self.question.gold[None], self.ablation.sources.groups
        sums = np.stack([np.bincount(steps, weights=values[0])])
        step = np.stack([np.bincount(steps, weights=planted[0]) > 0])
        found = {f"P@{k}": metrics.precision_at_k(values, planted, k) for k in (1, 5)}
        found |= {"MRR": metrics.reciprocal_rank(values, planted), "step": metrics.precision_at_k(sums, step, 1)}
        others = np.full(len(self.ablation.targets) - 1, np.nan)  # the answer's sentences are not judged
        return {name: np.append(value, others) for name, value in found.items()}


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """The trajectories, and the methods at each budget."""
    asked = budgets(given["budget"], (16,) if given["tiny"] else (64,))
    methods = split(given["methods"]) or ([] if given["full"] else USUAL)
    lines = [one for one in entries(METHODS, methods, asked) if one.label != Hierarchical.name]
    if not methods or Hierarchical.name in methods:
        lines += [Entry(Hierarchical.name, Hierarchical(max(budget // 2, 4), block=100), budget) for budget in asked]
    model = Model("tiny" if given["tiny"] else given["model"])
    lengths, count = ((3,), 1) if given["tiny"] else (LENGTHS, given["examples"] or (20 if given["full"] else 2))
    size = Size()
    cases = [
        Attacked(f"{one.length} calls", one.question, True, model, size, True, folder, True, one.messages, one.position)
        for one in trajectories(count, choices.seed("context"), lengths)
    ]
    cases[1:] = [replace(case, first=cases[0]) for case in cases[1:]]
    return Plan(
        about=f"{'tiny' if given['tiny'] else plain_name(given['model'])} and the answers that follow what was planted.",
        problems=cases,
        entries=[*lines, Entry(GOLD)],
        measures=("P@1", "P@5", "step", "MRR"),
        base="context-cite",
        against=("P@1", "step"),
        unit="trajectories",
        budgets=asked,
        notes=lambda _: NOTES,
        parts={f"planted {position}": (lambda case, at=position: case.position == at) for position in POSITIONS},
    )


OPTIONS = (
    click.option("--examples", type=click.IntRange(min=1), help="Trajectories of each length and position (2)."),
    click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, smollm2 or gemma3-270m."),
)
command = benchmark("injection", __doc__ or "", plan, RESULTS / "injection.json", *OPTIONS)
