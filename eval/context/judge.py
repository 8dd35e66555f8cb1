"""One question with the model's answer, and how each method fares on it against ablations and gold sentences."""

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.context.data import Question
from llmattr import metrics
from llmattr.ablation import random_masks
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.removal.store import Store, store_path
from llmattr.core.attribution import Attribution
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
from llmattr.text.prompt import Prompt, cut

HELD_OUT_SEED = 2**31  # methods draw theirs from seed 0,
DRAWN = 256  # and so many at most
DROPS = (1, 3)
RANKS = (1, 2, 3, 5, 10)

Measures = dict[str, list[float | None]]  # each a list over targets, None where it is not defined


@dataclass(frozen=True, eq=False)
class Timed(ContextAblation):
    """An ablation that keeps the CPU seconds that each mask took when it was scored, in memory and beside what was scored.

    Masks that are scored together share prefixes; each has the share of their seconds that its tokens have of theirs.
    """

    tokens: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """As the ablation gives them."""
        for mask in masks:
            if short(mask) not in self.tokens:
                self.tokens[short(mask)] = len(self.prompt.render(mask).ids)
        new = {short(mask) for mask in masks if mask not in self.store}
        started = time.process_time()
        found = super().token_logprobs(masks)
        if new:
            rate = (time.process_time() - started) / sum(self.tokens[name] for name in new)
            self.seconds.update({name: rate * self.tokens[name] for name in new})
            if self.store.path:
                write(times_path(self.store.path), json_text(self.seconds))
        return found

    @property
    def rate(self) -> float:
        """Seconds a token, over all masks whose tokens and seconds are known; nan where there are none."""
        known = self.tokens.keys() & self.seconds.keys()
        return sum(self.seconds[name] for name in known) / sum(self.tokens[name] for name in known) if known else math.nan


def short(mask: Bool[np.ndarray, " n"]) -> str:
    """A mask as text."""
    return np.packbits(mask).tobytes().hex()


def times_path(scored: Path) -> Path:
    """Where the seconds are kept of what was scored."""
    return scored.with_suffix(".seconds.json")


def unseen_masks(count: int, n: int) -> Bool[np.ndarray, "m n"]:
    """Random masks that are not among the first `DRAWN` of the methods' seed; of 6 sources or fewer these are nearly all."""
    drawn = {mask.tobytes() for mask in random_masks(DRAWN, n, seed=0)}
    masks = random_masks(32 * count, n, seed=HELD_OUT_SEED)
    others = np.array([mask.tobytes() not in drawn for mask in masks])
    return masks[others][:count] if others.sum() >= count else masks[:count]


@dataclass(frozen=True, eq=False)
class Case:
    """A question, the ablation of its answer, and how many held-out masks judge the scores."""

    question: Question
    ablation: Timed
    n_held_out: int

    @cached_property
    def held_out(self) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, "m t"]]:
        """Masks that keep a sentence with probability .5, others than methods draw, and the outputs under them."""
        masks = unseen_masks(self.n_held_out, len(self.ablation.sources))
        return masks, self.ablation(masks)

    def prediction(self, values: Float[np.ndarray, "t n"], drops: Sequence[int] = DROPS) -> Measures:
        """LDS and drops of every target."""
        found = {"LDS": metrics.lds(values, *self.held_out)}
        if drops:
            lost = metrics.deletion_curve(values, self.ablation, list(drops))
            found |= {f"drop {k}": lost[:, column] for column, k in enumerate(drops)}
        return as_numbers(found)

    def counterfactual(self, found: Attribution, drops: Sequence[int] = DROPS) -> Measures:
        """How far off, in nats, a method is about its own k highest sources' removal; None where it foretells nothing."""
        if not found.can_cite or found.baseline is None:
            return {f"counterfactual error {k}": [None] * len(found) for k in drops}
        errors = {}
        for k in drops:
            masks = metrics.top_k_masks(found.values, k)  # each target's own
            predicted, seen = (np.diag(outputs)[None] for outputs in (found.predict(masks), self.ablation(masks)))
            errors[f"counterfactual error {k}"] = metrics.counterfactual_error(predicted, seen)
        return as_numbers(errors)

    def support(self, values: Float[np.ndarray, "t n"], cited: Bool[np.ndarray, "t n"] | None = None) -> Measures:
        """How the first target, the whole answer, finds the gold sentences; nothing where there are none."""
        whole, gold = values[:1], self.question.gold[None]
        if not gold.any():
            return {}
        found = {
            "AP": metrics.average_precision(whole, gold),
            "RR": metrics.reciprocal_rank(whole, gold),
            "P@1": metrics.precision_at_k(whole, gold, 1),
            "R@3": metrics.recall_at_k(whole, gold, 3),
        }
        if cited is not None:
            found |= {f"cited {name}": of for name, of in metrics.citation(cited[:1], gold)._asdict().items()}
        return as_numbers(found)

    def recall(self, values: Float[np.ndarray, "t n"]) -> list[list[float]]:
        """Gold sentences among the k highest scores of the whole answer: [[k, share], ...]; nothing without gold."""
        gold = self.question.gold[None]
        return [[k, float(metrics.recall_at_k(values[:1], gold, k)[0])] for k in RANKS] if gold.any() else []


def as_numbers(found: dict[str, Float[np.ndarray, " t"]]) -> Measures:
    """Lists for JSON."""
    return {name: [x if math.isfinite(x) else None for x in of.tolist()] for name, of in found.items()}


def make_case(
    lm: LM, question: Question, n_held_out: int, max_new_tokens: int, *, gold_answer: bool, scored: Path | None = None
) -> Case:
    """Ask the model, or take the data's answer if it has one; the targets are the whole answer and its sentences, if several.

    `scored`: a folder in which what is scored is kept.
    """
    template = TEMPLATE if lm.tokenizer.chat_template else PLAIN_TEMPLATE
    chat = conversation(question.documents, question.question, template=template)
    prompt = Prompt(lm.tokenizer, chat, cut(chat, question.splitter))
    if len(prompt.sources) != question.size:
        raise LlmattrError(f"{question.size} sentences became {len(prompt.sources)} sources")
    if gold_answer and question.answer:
        prompt = prompt.with_response(question.answer)
    else:
        prompt = prompt.with_generated(lm.generate(prompt.full().ids, max_new_tokens))
    targets = prompt.targets()
    if len(targets) == 2:  # the answer is one sentence
        targets = targets[:1]
    full = prompt.full()
    store = Store(scored and store_path(scored, lm.record(), lm.fingerprint(), full.ids, full.sources.tolist()))
    times = store.path and times_path(store.path)
    seconds = json.loads(times.read_text()) if times and times.exists() else {}
    return Case(question, Timed(lm, prompt, targets, store, seconds=seconds), n_held_out)


@dataclass(frozen=True, eq=False)
class Metered(Timed):
    """An ablation that keeps account of what one method asks for, whether or not it was scored before.

    `asked`: its masks. `others`: the sizes of what a method sent through the model by itself, forward and backward.
    `spent`: CPU seconds inside this ablation.
    """

    asked: set[str] = field(default_factory=set)
    others: list[tuple[int, int]] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    scoring: list[bool] = field(default_factory=list)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """As the ablation gives them."""
        started = time.process_time()
        self.asked.update(short(mask) for mask in masks)
        self.scoring.append(True)
        found = super().token_logprobs(masks)
        self.scoring.pop()
        self.spent.append(time.process_time() - started)
        return found

    @property
    def cost(self) -> dict[str, int]:
        """Passes and tokens, as if the method had run alone; a token of an ablation is of its prompt or of the answer."""
        return {
            "passes": len(self.asked) + sum(rows for rows, _ in self.others),
            "tokens": sum(self.tokens[name] for name in self.asked) + sum(size for _, size in self.others),
        }

    def alone(self, seconds: float) -> float:
        """The CPU seconds of a method that took so many with this ablation, as if nothing had been scored before.

        What it took outside of the ablation, and what each of its masks took when it was first scored; a mask whose seconds are
        not known (a run was killed) counts by its tokens.
        """
        rate = self.rate
        known = [self.seconds.get(name, rate * self.tokens[name]) for name in self.asked]
        return seconds - sum(self.spent) + sum(known)


@contextmanager
def metered(ablation: Timed) -> Iterator[Metered]:
    """The ablation with an account of its own; what is scored is shared."""
    view = Metered(**{part.name: getattr(ablation, part.name) for part in dataclasses.fields(ablation)})

    def count(_module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        ids = given.get("input_ids", given.get("inputs_embeds", args[0] if args else None))
        if not view.scoring and ids is not None:
            view.others.append((ids.shape[0], ids.shape[0] * ids.shape[1]))

    def count_back(_module: Any, _gradients: Any) -> None:
        view.others.append((1, view.others[-1][1]))  # a pass back through the activations costs about one forward

    hooks = [
        ablation.lm.model.register_forward_pre_hook(count, with_kwargs=True),
        ablation.lm.model.get_output_embeddings().register_full_backward_pre_hook(count_back),
    ]
    try:
        yield view
    finally:
        for hook in hooks:
            hook.remove()
