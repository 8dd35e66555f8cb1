"""A question that methods attribute again and again: by other seeds, at smaller budgets, asked in other words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from eval.context.case import Case, Model, Size
from eval.context.data import Question, questions
from eval.harness.contract import Entry, Judged, Scored, replaced
from eval.harness.entries import KNOBS
from eval.stability.agreement import agreement
from llmattr.context import METHODS
from llmattr.context.removal.ablation import ContextAblation
from llmattr.core.method import find_method
from llmattr.errors import LlmattrError
from llmattr.text.prompt import Prompt

Variation = Literal["seeds", "budgets", "paraphrases"]
VARIATIONS = get_args(Variation)
RUNS = 4  # by seeds of their own; the question with its three paraphrases are as many
PARTS = (4, 2, 1)  # what the budget is divided by
FILE = Path(__file__).with_name("paraphrases.jsonl")  # our own words; the questions come with the public data


@dataclass(frozen=True, eq=False)
class Reworded(Case):
    """The same question in other words, with an answer that it was given before."""

    answer: str = ""

    def _answered(self, prompt: Prompt) -> Prompt:
        return prompt.with_response(self.answer)


@dataclass(frozen=True, eq=False)
class Varied(Case):
    """A `Problem`: a case, what its runs differ by, and its question in other words."""

    variation: Variation = "seeds"
    paraphrases: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The question and what its runs differ by."""
        return f"{self.of} {self.question.id}, {self.variation}"

    def identity(self) -> Any:
        """That of the case, and all that the runs depend on."""
        return {"case": super().identity(), "by": self.variation, "asked": [*self.paraphrases], "runs": RUNS, "parts": PARTS}

    def groups(self) -> Sequence[str]:
        """The answer and its sentences depend on each other."""
        return [f"{self.of} {self.question.id}"] * len(self.ablation.targets)

    def seconds(self, entry: Entry) -> float:
        """Those of the runs."""
        return len(self.runs(entry)) * super().seconds(entry)

    @cached_property
    def asked(self) -> list[ContextAblation]:
        """The ablation of the question, and of each paraphrase: with the same answer, sources and targets."""
        fields = {name: value for name, value in vars(self).items() if name in Case.__dataclass_fields__}
        answer = self.ablation.prompt.response
        others = [replace(self.question, question=text) for text in self.paraphrases]
        return [self.ablation, *(Reworded(**{**fields, "question": one, "answer": answer}).ablation for one in others)]

    def runs(self, entry: Entry) -> list[tuple[Any, ContextAblation, int]]:
        """Of each run the method, the ablation that it asks, and the seed."""
        match self.variation:
            case "seeds":
                return [(entry.method, self.ablation, RUNS * entry.seed + run) for run in range(RUNS)]
            case "budgets":
                budgets = [(entry.budget or max(PARTS)) // part for part in PARTS]
                methods = [replaced(entry.method, **dict.fromkeys(KNOBS, budget)) for budget in budgets]
                return [(method, self.ablation, entry.seed) for method in methods]
            case "paraphrases":
                return [(entry.method, ablation, entry.seed) for ablation in self.asked]

    def score(self, entry: Entry) -> Scored:
        """The scores of every run, one below the other."""
        runs = [find_method(method, METHODS).attribute(*asked) for method, *asked in self.runs(entry)]
        return Scored(np.concatenate([run.values for run in runs]))

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """How far each entry's runs agree."""
        t = len(self.ablation.targets)
        return {
            name: Judged(agreement(one.values.reshape(-1, t, one.values.shape[1]), self.variation))
            for name, one in found.items()
        }


def cases(sets: Sequence[str], count: int, model: Model, size: Size, folder: Path) -> list[Varied]:
    """The first `count` questions of each set that have paraphrases, each by every variation."""
    made = []
    for of in sets:
        every = {one.id: one for one in questions(of)}
        for question, paraphrases in paraphrased(every, of)[:count]:
            fields = of, question.shortened(size.most), True, model, size, False, folder
            made += [Varied(*fields, support_alone=True, variation=one, paraphrases=paraphrases) for one in VARIATIONS]
    return made


def paraphrased(every: Mapping[str, Question], of: str) -> list[tuple[Question, list[str]]]:
    """The questions of a set that have paraphrases; raises `LlmattrError` where none has."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    found = [(every[row["id"]], row["paraphrases"]) for row in rows if row["set"] == of and row["id"] in every]
    if not found:
        sets = ", ".join(dict.fromkeys(row["set"] for row in rows))
        raise LlmattrError(f"no question of {of} has paraphrases; there are some of {sets}")
    return found
