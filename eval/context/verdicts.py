"""Verdicts compared: `python -m eval verdicts`.

Is an answer that the documents carry called "from the context", and any other not? Our own full-sentence answers to public
questions (`eval.context.answers`): right, reworded, paraphrased, false, swapped, refusing, the first three also without the
sentences that support them; and claims of AttributionBench, which people judged. What the verdict goes by is read from two
passes of each answer (and other names in the place of its own, at the price of a pass or less); the rules are held against each
other on the same reading.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Float

from eval import RESULTS
from eval.context.answers import answered, judging, read, without_gold
from eval.context.case import Case, Model, Size
from eval.context.claims import claims
from eval.context.data import Question
from eval.context.rules import JUDGED, RULES, Ours
from eval.harness.command import called, plain_name
from eval.harness.contract import Costs, Entry, Judged, PerUnit, Scored
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, split
from llmattr.context.entailing import load_judge
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.signs import Reading
from llmattr.context.verify import judged
from llmattr.core.evidence import Signs
from llmattr.model.judge import Judge

REMOVED = "without its sources"
CARRIED = ("right", "reworded", "paraphrase")
SHOULD = {  # what is right of each kind of answer
    **dict.fromkeys((*CARRIED, "supported"), "context"),
    **dict.fromkeys(("false", "swapped", "unsupported", *(f"{kind}, {REMOVED}" for kind in CARRIED)), "other"),
    "refusal": "refusal",
}
NOTES = (
    "Each column: the share of such answers of which the verdict is right. right, reworded (as an assistant would word it), "
    "paraphrase (in other words throughout) and supported should be from the context; false (a name or number that stands "
    "nowhere), swapped (one that does stand in the context), unsupported and those without their sources should not be; a "
    "refusal should be called one. supported, unsupported: claims of AttributionBench, as people judged them.",
    "A > B: the share of questions whose answer of kind A stands above that of kind B by what the rule goes by.",
)


@dataclass(frozen=True, eq=False)
class Claimed:
    """A `Problem`: what can be said to one question, each with the question as it was asked (`said`: kind -> question)."""

    of: str
    id: str
    judging: bool
    model: Model
    folder: Path
    said: Mapping[str, Question]
    entailing: Judge | None = None

    @property
    def name(self) -> str:
        """The set and the question's id."""
        return f"{self.of} {self.id}"

    def identity(self) -> Any:
        """The answers, what was asked, the model, and the entailment model."""
        named = {"judge": self.entailing.name} if self.entailing else {}
        return {"cases": {kind: case.identity() for kind, case in self.cases.items()}} | named

    def groups(self) -> Sequence[str]:
        """Answers to one question depend on each other."""
        return [self.name] * len(self.said)

    @cached_property
    def cases(self) -> dict[str, Case]:
        """A case of each answer."""
        size = Size()
        return {
            kind: Case(self.of, question, self.judging, self.model, size, True, self.folder, True)
            for kind, question in self.said.items()
        }

    def seconds(self, entry: Entry) -> float:
        """Two passes for each answer, which the first rule pays."""
        first = next(iter(RULES)) == entry.label
        return sum(2 * c.seconds_a_token * len(c.ablation.prompt.full().ids) for c in self.cases.values()) if first else 0.0

    @cached_property
    def read(self) -> list[Signs]:
        """What is read of each answer's first sentence."""
        _score([case.ablation for case in self.cases.values()])
        return [_read(case.ablation, None) for case in self.cases.values()]

    @cached_property
    def read_with_judge(self) -> list[Signs]:
        """The same with the entailment model's word."""
        return [_read(case.ablation, self.entailing) for case in self.cases.values()]

    def score(self, entry: Entry) -> Scored:
        """For each answer whether the verdict is right, and what it goes by."""
        rule, read = entry.method, self.read_with_judge if entry.label in JUDGED else self.read
        right = [_is_right(rule.verdict(signs), SHOULD[kind]) for signs, kind in zip(read, self.said, strict=True)]
        values = np.array([right, [rule.sign(signs) for signs in read]], dtype=float).T
        costs: Costs = {"passes": 2 * len(self.said)}
        return Scored(values, costs)

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """The answers' kinds as measures."""
        return {name: Judged(self._measures(one.values)) for name, one in found.items()}

    def _measures(self, values: Float[np.ndarray, "t 2"]) -> dict[str, PerUnit]:
        kinds = list(self.said)
        measures = {kind: np.where(np.array(kinds) == kind, values[:, 0], np.nan) for kind in SHOULD}
        for above, below in ABOVE:
            both = above in kinds and below in kinds
            gap = values[kinds.index(above), 1] - values[kinds.index(below), 1] if both else np.nan
            measures[f"{above} > {below}"] = np.append((np.sign(gap) + 1) / 2, np.full(len(kinds) - 1, np.nan))
        return measures


def _score(answers: Sequence[ContextAblation]) -> None:
    """All answers with every source and with none, in one call: most are to the same documents, which are read once."""
    both = [(one, np.full(len(one.sources), kept)) for one in answers for kept in (True, False)]
    new = [(one, mask) for one, mask in both if mask.tobytes() not in one.store.rows]
    for i, logprobs in answers[0].lm.score([one.prompt.render(mask) for one, mask in new]):
        one, mask = new[i]
        one.store.add(mask.tobytes(), logprobs)
    for one in answers:
        one.store.save()


def _read(ablation: ContextAblation, judge: Judge | None) -> Signs:
    reading, t = Reading(ablation), 0 if len(ablation.targets) == 1 else 1
    whole, none = (ablation(np.full((1, len(ablation.sources)), kept))[0, t] for kept in (True, False))
    signs = judged(judge, reading, {t: reading.signs(t, float(whole - none), 0.0)})
    return reading.doubted(signs)[t]


ABOVE = (("right", "false"), ("right", "swapped"), ("reworded", "false"), ("reworded", "swapped"))


def _is_right(verdict: str, should: str) -> bool:
    return verdict != "context" if should == "other" else verdict == should


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """All answers and claims, and every rule."""
    judge = load_judge(given["judge"])
    lines = entries(RULES | (JUDGED if judge else {}), split(given["methods"]), ())
    model = Model("tiny" if given["tiny"] else given["model"])
    problems = [dataclasses.replace(one, entailing=judge) for one in (*_answers(model, folder), *_claims(model, folder))]
    problems.sort(key=lambda one: not one.judging)
    return Plan(
        about=f"{'tiny' if given['tiny'] else plain_name(given['model'])} and our own answers to public questions.",
        problems=problems[:2] if given["tiny"] else problems,
        entries=lines,
        measures=(*SHOULD, *(f"{a} > {b}" for a, b in ABOVE)),
        base=Ours.name,
        against=("right", "false"),
        called=called("answers", given["model"], ("answers", "smollm2")),
        notes=lambda measured: NOTES,
    )


def _answers(model: Model, folder: Path) -> list[Claimed]:
    found = read()
    problems = []
    for (one, question), judges in zip(answered(found), judging(found), strict=True):
        said = {kind: _with(question, text) for kind, text in one.said.items()}
        rest = without_gold(question)
        if rest.papers and not one.supported_without_gold:
            said |= {f"{kind}, {REMOVED}": _with(rest, one.said[kind]) for kind in CARRIED if kind in one.said}
        problems.append(Claimed(one.of, one.id, judges, model, folder, said))
    return problems


def _claims(model: Model, folder: Path) -> list[Claimed]:
    """AttributionBench's, one a problem."""
    return [
        Claimed("attributionbench", one.question.id, one.judging, model, folder, {one.kind: one.question}) for one in claims()
    ]


def _with(question: Question, answer: str) -> Question:
    return dataclasses.replace(question, answer=answer)


MODEL = click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, smollm2 or gemma3-270m.")
JUDGE = click.option("--judge", help="Also what this entailment model adds: a folder or a hub id.")
command = benchmark("verdicts", __doc__ or "", plan, RESULTS / "verdicts.json", MODEL, JUDGE)
