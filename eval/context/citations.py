"""Citations compared: `python -m eval citations`.

Does each method of `llmattr.context.METHODS` find the sentences that people marked as supporting an answer, and cite no others?
The answers are our own full sentences to public questions of three sets (`eval.context.answers`), some of them on dressed-up
Markdown pages: half to choose on, half that judge. `--sets` takes questions of a set with the data's answers instead, `--data`
a file of one's own; `--own-answers` attributes the model's answer, and tells the right ones from the wrong ones.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Bool, Float

from eval import RESULTS
from eval.context.answers import Dressed, answered, judging, read
from eval.context.bench import SETTINGS, SUPPORT
from eval.context.case import GOLD, Case, Model, Size
from eval.context.entailment import Entails, entailed, entailment_model
from eval.context.questions import OPTIONS, problems, right_answers
from eval.harness.command import plain_name
from eval.harness.contract import Entry, Judged, Scored
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr import metrics
from llmattr.context import METHODS
from llmattr.context.methods.screening import Screening
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.verify import verify
from llmattr.core.attribution import Attribution
from llmattr.core.citing import citation_rule, is_clear

NOTES = (
    "AP: average precision; MRR: mean reciprocal rank; R@k: recall among the k highest; AUROC: the chance that a marked "
    "sentence is above another. Equal scores: the mean order. 95 %: bootstrap over questions.",
    f"Cited: by the method's own rule, {citation_rule('logit')}; sentence by sentence, and the answer has what they have. "
    "Similarities and attention have none and cite nothing.",
    "Threshold F1: what has a certain share of the highest score is cited, the share that gives the best mean F1 on the "
    "questions that choices are made on; judged on the others.",
    "Citations: how many an answer has; furniture: of them headings, navigation and boilerplate, on dressed pages.",
    "cite: as the command line does, by its default method and only where the verdict is from the context; with the passes of "
    "the verdict. cite, second hops too: what it names beside as not needed by the model counts as cited.",
    "Gold sentences: 1 for those that people marked, the highest that can be reached.",
)
CHEAP = ("screening", "context-cite", "alone", "bm25", "embeddings")  # without --full
OLD, SHIPPED, HOPS = "the rule of d168c08", "cite", "cite, second hops too"
ENTAILED = (
    "Entailed: ALCE's precision, recall and F1. The claim is the question with the answer; the passages are what the method "
    "cites by its rule, each with its title."
)


@dataclass(frozen=True, eq=False)
class CitedCase(Case):
    """A case of which only the support is judged, also by an entailment model."""

    entails: Entails | None = None

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """As a case does, and by what only citations have."""
        judged = super().judge(found)
        return {name: replace(one, measures={**one.measures, **self._cited(found[name])}) for name, one in judged.items()}

    def attributed(self, entry: Entry, ablation: ContextAblation) -> Attribution:
        """With the verdict, where all of `cite` is asked for."""
        found = super().attributed(entry, ablation)
        return replace(found, evidence=verify(found, ablation)) if entry.how.get("rule") in (SHIPPED, HOPS) else found

    def cited(self, found: Attribution, entry: Entry) -> Bool[np.ndarray, "t n"]:
        """What a reader is shown; of several sentences the whole cites what each of them does."""
        cited = self._shown(found, entry)
        return cited if len(cited) == 1 else np.concatenate([cited[1:].any(axis=0, keepdims=True), cited[1:]])

    def _shown(self, found: Attribution, entry: Entry) -> Bool[np.ndarray, "t n"]:
        """By the library's rule, by that and with second hops, or by an older one for comparison."""
        if entry.how.get("rule") == OLD:
            return is_clear(found.values, found.stderr)
        cited = super().cited(found, entry)
        for t, one in enumerate(found.evidence.targets if found.evidence and entry.how["rule"] == HOPS else ()):
            cited[t] |= np.arange(cited.shape[1]) == one.second_hop
        return cited

    def _cited(self, scored: Scored) -> dict[str, Float[np.ndarray, " t"]]:
        if scored.cited is None:
            return {}
        measures = {"citations": float(scored.cited[0].sum())}
        if isinstance(self.question, Dressed):
            measures["furniture"] = float(scored.cited[0][self.question.furniture].sum())
        if self.entails is not None:
            measures |= entailed(scored.cited[0], self.question, self.ablation.prompt.response, self.entails)
        nothing = np.full(len(scored.values), np.nan)
        return {name: np.append(value, nothing[1:]) for name, value in measures.items()}


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """The questions, every method at its budget, and gold sentences."""
    all_of_them = given["full"] or given["tiny"]
    methods = split(given["methods"]) or ([] if all_of_them else CHEAP)
    asked = budgets(given["budget"], (16,) if given["tiny"] else (64,))
    lines = entries(METHODS, methods, asked, SETTINGS)
    entails = entailment_model(given["entailment"]) if given["entailment"] else None
    make = partial(CitedCase, support_alone=True, entails=entails)
    if given["sets"] or given["data"] or given["tiny"] or not given["gold_answers"]:
        cases, notes = problems(given, folder, given["gold_answers"], make=make)
    else:
        cases, notes = _answers(given["model"], folder, make), []

    def told(measured: Sequence[CitedCase]) -> list[str]:
        marked = sum(not case.question.gold.any() for case in measured)
        said = [f"{marked} of {len(measured)} questions have no marked sentences and count only for agreement, entailment."]
        own = [f"{sum(not case.question.answer for case in measured)} answers are the model's own: the data has none."]
        said = said * bool(marked) + (own * any(not case.question.answer for case in measured))
        return [
            *notes,
            *said,
            *([] if given["gold_answers"] else right_answers(measured)),
            *NOTES,
            *([ENTAILED] if entails else []),
        ]

    whose = "the answers that the data gives" if given["gold_answers"] else "its own answers"
    return Plan(
        about=f"{'tiny' if given['tiny'] else plain_name(given['model'])} and {whose}.",
        problems=cases,
        entries=[*lines, *_whole(), _old(asked[0]), Entry(GOLD)],
        measures=(*SUPPORT, "citations", "furniture", "threshold F1", "entailed precision", "entailed recall", "entailed f1"),
        base="context-cite",
        against=("AP", "cited f1"),
        budgets=asked,
        notes=told,
        parts={"dressed pages": lambda case: isinstance(case.question, Dressed)}
        if given["gold_answers"]
        else {"right": lambda case: bool(case.right), "wrong": lambda case: case.right is False},
        across=threshold_f1,
    )


def _answers(model: str, folder: Path, make: Callable[..., CitedCase]) -> list[CitedCase]:
    """Our own answers, those that judge first."""
    answers, one, size = read(), Model(model), Size()
    cases = [
        make(answer.of, dataclasses.replace(question, answer=answer.right), judges, one, size, True, folder)
        for (answer, question), judges in zip(answered(answers), judging(answers), strict=True)
    ]
    return sorted(cases, key=lambda case: not case.judging)


def _whole() -> list[Entry]:
    """All that `cite` does as it is shipped, with the passes of its verdicts."""
    return [Entry(rule, Screening(), how={"rule": rule}, is_reference=True) for rule in (SHIPPED, HOPS)]


def _old(budget: int) -> Entry:
    """What was cited at d168c08: all that is clear of its error."""
    method = METHODS["context-cite"](n_ablations=budget)
    return Entry(f"context-cite, {OLD}", method, budget, how={"rule": OLD}, is_reference=True)


def threshold_f1(cases: Sequence[CitedCase], found: Sequence[Scored | None]) -> list[dict[str, Float[np.ndarray, " t"]]]:
    """F1 of one entry's scores above the share of the highest that is best where choices are made; nan of answers' parts."""
    shares = [None if one is None else _share(one.values[0]) for one in found]
    known = [(share, case) for share, case in zip(shares, cases, strict=True) if share is not None and case.question.gold.any()]
    choosing = [pair for pair in known if not pair[1].judging]
    threshold = metrics.best_threshold([share for share, _ in choosing], [case.question.gold for _, case in choosing])
    each = []
    for share, case in zip(shares, cases, strict=True):
        undefined = np.full(len(case.groups()), np.nan)
        if share is not None and threshold is not None:
            undefined[0] = metrics.citation((share > threshold)[None], case.question.gold[None]).f1[0]
        each.append({"threshold F1": undefined})
    return each


def _share(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Scores as shares of the highest, since scales differ between questions."""
    return scores / scores.max() if scores.max() > 0 else np.zeros_like(scores)


MORE = (
    click.option(
        "--gold-answers/--own-answers", default=True, show_default=True, help="The data's answers, or the model's own."
    ),
    click.option("--entailment", help="Also judge citations by this NLI model: a folder or a hub id."),
)
command = benchmark("citations", __doc__ or "", plan, RESULTS / "citations.json", *OPTIONS, *MORE)
