"""A question with the model's answer: every method scores its sentences, ablations and gold sentences judge the scores."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.context.data import Question
from eval.context.meter import Timed, metered, times
from eval.harness import choices
from eval.harness.contract import Entry, Judged, Scored
from llmattr import metrics
from llmattr.ablation import random_masks
from llmattr.context import METHODS
from llmattr.context.relevance import relevance
from llmattr.context.removal.ablation import ContextAblation, Store, store_path
from llmattr.core.attribution import Attribution
from llmattr.core.files import digest, write
from llmattr.core.method import find_method
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError
from llmattr.metrics.shapes import Scores
from llmattr.model.lm import LM
from llmattr.text.message import Message
from llmattr.text.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
from llmattr.text.prompt import Prompt, cut

DRAWN = 256  # masks that methods draw from seed 0, at most
DROPS = (1, 3)
RANKS = (1, 2, 3, 5, 10)
GOLD = "gold sentences"


@dataclass(frozen=True)
class Size:
    """How much is done: sentences at least and at most, held-out masks, tokens of an answer at most; whole curves or not."""

    least: int = 10
    most: int = 16
    held_out: int = 64
    answer: int = 48
    curves: bool = False


@dataclass(frozen=True, eq=False)
class Model:
    """The model that is asked, loaded when something is left to ask."""

    given: str

    @cached_property
    def lm(self) -> LM:
        """Loaded once."""
        if self.given == "tiny":
            from tests import tiny_models

            return LM(tiny_models.llama(window=16384).double(), tiny_models.tokenizer(), "tiny")
        return LM.load(self.given)

    @cached_property
    def identity(self) -> dict[str, str]:
        """What tells it from every other model, and the type that it computes in."""
        return self.lm.fingerprint() | {"dtype": self.lm.record()["dtype"]}


@dataclass(frozen=True, eq=False)
class Case:
    """A `Problem`: a question, what it is asked of, and whether the data's answer or the model's own is attributed.

    `support_alone`: only whether gold sentences are found is judged, and nothing is ablated but what methods ask for.
    """

    of: str
    question: Question
    judging: bool
    model: Model
    size: Size
    gold_answer: bool
    folder: Path
    support_alone: bool = False

    @property
    def name(self) -> str:
        """The set and the question's id."""
        return f"{self.of} {self.question.id}"

    def identity(self) -> Any:
        """The question, the model, and the answer as it was cut."""
        return {**self._asked(), "targets": self.ablation.targets.texts}

    def _asked(self) -> dict[str, Any]:
        answer = "gold" if self.gold_answer and self.question.answer else self.size.answer
        return {"question": asdict(self.question), "answer": answer, "model": self.model.identity}

    def groups(self) -> Sequence[str]:
        """The sentences of one answer depend on each other."""
        return [self.name] * len(self.ablation.targets)

    @cached_property
    def ablation(self) -> Timed:
        """The ablation of the answer; the targets are the whole answer and its sentences, if several."""
        lm, question, chat = self.model.lm, self.question, self.chat()
        prompt = Prompt(lm.tokenizer, chat, cut(chat, question.splitter))
        if len(prompt.sources) != question.size:
            raise LlmattrError(f"{question.size} sentences became {len(prompt.sources)} sources")
        prompt = self._answered(prompt)
        targets = prompt.targets()
        if len(targets) == 2:  # the answer is one sentence
            targets = targets[:1]
        full = prompt.full()
        store = Store(store_path(self.folder / "ablations", lm.record(), lm.fingerprint(), full.ids, full.sources.tolist()))
        return Timed(lm, prompt, targets, store, seconds=times(store.path))

    def chat(self) -> tuple[Message, ...]:
        """What the model is asked."""
        template = TEMPLATE if self.model.lm.tokenizer.chat_template else PLAIN_TEMPLATE
        return conversation(self.question.documents, self.question.question, template=template)

    def _answered(self, prompt: Prompt) -> Prompt:
        if self.gold_answer and self.question.answer:
            return prompt.with_response(self.question.answer)
        place = self.folder / "answers" / f"{digest(self._asked())[:32]}.json"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, json_text(self.model.lm.generate(prompt.full().ids, self.size.answer), None))
        return prompt.with_generated(json.loads(place.read_text()))

    @property
    def right(self) -> bool | None:
        """Whether the answer contains the true one; None where that is not known."""
        answer = self.question.answer
        return None if answer is None else answer.lower() in self.ablation.prompt.response.lower()

    def seconds(self, entry: Entry) -> float:
        """By the time of the whole prompt's ablation."""
        n = len(self.ablation.sources)
        free = entry.method is None or entry.family in ("corroborative", "reference")
        passes = 0 if free else entry.budget or n + 1
        held_out = 0 if self.support_alone else len(DROPS) * len(self.ablation.targets)
        return (passes + held_out) * self.seconds_a_token * len(self.ablation.prompt.full().ids)

    @cached_property
    def seconds_a_token(self) -> float:
        """Of scoring; the whole prompt is scored where nothing is known yet."""
        if np.isnan(self.ablation.rate):
            everything = np.ones((1, len(self.ablation.sources)), dtype=bool)
            self.ablation.store.rows.pop(everything[0].tobytes(), None)  # what was scored without its seconds is scored again
            self.ablation(everything)
        return self.ablation.rate

    def score(self, entry: Entry) -> Scored:
        """What the method finds, and at what cost."""
        if entry.method is None:
            return self._gold()
        with metered(self.ablation) as ablation:
            started = time.process_time()
            found = self.attributed(entry, ablation)
            costs = ablation.costs(time.process_time() - started)
        cites = found.can_cite and (found.stderr is None or bool(np.isfinite(found.stderr).any()))
        baseline = found.baseline if found.can_cite else None
        return Scored(found.values, costs, self.cited(found, entry) if cites else None, baseline)

    def attributed(self, entry: Entry, ablation: ContextAblation) -> Attribution:
        """The method's scores, with what the rule of citation goes by beside them."""
        found = find_method(entry.method, METHODS).attribute(ablation, entry.seed)
        return replace(found, relevance=relevance(ablation))

    def cited(self, found: Attribution, entry: Entry) -> Bool[np.ndarray, "t n"]:
        """What the method cites, by the library's rule."""
        return found.cited

    def _gold(self) -> Scored:
        """1 for what people marked as supporting, 0 for the rest: what states the answer need not be what changes it."""
        if not self.question.gold.any():
            raise LlmattrError("no gold sentences")
        values = np.tile(self.question.gold.astype(float), (len(self.ablation.targets), 1))
        return Scored(values, {"passes": 0, "tokens": 0, "CPU s": 0.0}, values > 0)

    @cached_property
    def held_out(self) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, "m t"]]:
        """Masks that keep a sentence with probability .5, others than methods draw, and the outputs under them."""
        masks = unseen_masks(self.size.held_out, len(self.ablation.sources), choices.seed("context"))
        return masks, self.ablation(masks)

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """Each entry by held-out ablations and by gold sentences."""
        return {name: self._judged(one) for name, one in found.items()}

    def _judged(self, scored: Scored) -> Judged:
        # Of an answer that is wrong, or may be, the sentences that support the right one say nothing.
        support = self.support(scored.values, scored.cited) if self.right or self.support_alone else {}
        if self.support_alone:
            return Judged(support)
        masks, outputs = self.held_out
        predicted = scored.values @ masks.T.astype(float)
        return Judged(support | self.prediction(scored), scatter=np.stack([predicted[0], outputs[:, 0]], axis=1))

    def prediction(self, scored: Scored) -> dict[str, Float[np.ndarray, " t"]]:
        """LDS, what is lost without the best sources, and how far off the method's own prediction of that is."""
        values, ablation = scored.values, self.ablation
        lost = metrics.deletion_curve(values, ablation, list(DROPS))
        found = {"LDS": metrics.lds(values, *self.held_out)}
        found |= {f"drop {k}": lost[:, column] for column, k in enumerate(DROPS)}
        if scored.baseline is not None:
            masks = metrics.top_k_masks(values, DROPS[-1])  # each target's own
            predicted, seen = (np.diag(outputs)[None] for outputs in (scored.predicted(masks), ablation(masks)))
            found["counterfactual error"] = metrics.counterfactual_error(predicted, seen)
        if self.size.curves:
            found["deletion"] = metrics.curve_area(metrics.deletion_curve(values, ablation))
            found["insertion"] = metrics.curve_area(metrics.insertion_curve(values, ablation))
        return found

    def support(self, values: Scores, cited: Bool[np.ndarray, "t n"] | None = None) -> dict[str, Float[np.ndarray, " t"]]:
        """How the first target, the whole answer, finds the gold sentences; the marked sentences support it as a whole."""
        gold = np.zeros(values.shape, dtype=bool)
        gold[0] = self.question.gold
        found = {
            "AP": metrics.average_precision(values, gold),
            "MRR": metrics.reciprocal_rank(values, gold),
            "P@1": metrics.precision_at_k(values, gold, 1),
            "AUROC": metrics.roc_auc(values, gold),
            **{f"R@{k}": metrics.recall_at_k(values, gold, k) for k in RANKS},
        }
        if cited is not None:
            found |= {f"cited {name}": of for name, of in metrics.citation(cited, gold)._asdict().items()}
        return found


def unseen_masks(count: int, n: int, seed: int) -> Bool[np.ndarray, "m n"]:
    """Random masks that are not among the first `DRAWN` of the methods' seed; of 6 sources or fewer these are nearly all."""
    drawn = {mask.tobytes() for mask in random_masks(DRAWN, n, seed=0)}
    masks = random_masks(32 * count, n, seed=seed)
    others = np.array([mask.tobytes() not in drawn for mask in masks])
    return masks[others][:count] if others.sum() >= count else masks[:count]
