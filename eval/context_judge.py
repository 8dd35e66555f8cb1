"""One question with the model's answer, and how each method fares on it against ablations and gold sentences."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.context_data import Question
from llmattr import metrics
from llmattr.ablation import random_masks
from llmattr.context.ablation import ContextAblation
from llmattr.context.store import Store, store_path
from llmattr.lm import LM
from llmattr.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
from llmattr.prompt import Prompt, cut

HELD_OUT_SEED = 2**31  # methods draw theirs from seed 0
DROPS = (1, 3)

Measures = dict[str, list[float | None]]  # each a list over targets, None where it is not defined


@dataclass(frozen=True, eq=False)
class Case:
    """A question, the ablation of its answer, and how many held-out masks judge the scores."""

    question: Question
    ablation: ContextAblation
    n_held_out: int

    @cached_property
    def held_out(self) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, "m t"]]:
        """Masks that keep a sentence with probability .5, by a seed of their own, and the outputs under them."""
        masks = random_masks(self.n_held_out, len(self.ablation.sources), seed=HELD_OUT_SEED)
        return masks, self.ablation(masks)

    def prediction(self, values: Float[np.ndarray, "t n"], drops: Sequence[int] = DROPS) -> Measures:
        """LDS and drops of every target."""
        found = {"LDS": metrics.lds(values, *self.held_out)}
        if drops:
            lost = metrics.deletion_curve(values, self.ablation, list(drops))
            found |= {f"drop {k}": lost[:, column] for column, k in enumerate(drops)}
        return as_numbers(found)

    def support(self, values: Float[np.ndarray, "t n"], cited: Bool[np.ndarray, "t n"] | None = None) -> Measures:
        """How the first target, the whole answer, finds the gold sentences; nothing where there are none."""
        whole, gold = values[:1], self.question.gold[None]
        if not gold.any():
            return {}
        found = {
            "AP": metrics.average_precision(whole, gold),
            "P@1": metrics.precision_at_k(whole, gold, 1),
            "R@3": metrics.recall_at_k(whole, gold, 3),
        }
        if cited is not None:
            found |= {f"cited {name}": of for name, of in metrics.citation(cited[:1], gold)._asdict().items()}
        return as_numbers(found)


def as_numbers(found: dict[str, Float[np.ndarray, " t"]]) -> Measures:
    """Lists for JSON."""
    return {name: [x if math.isfinite(x) else None for x in of.tolist()] for name, of in found.items()}


def make_case(
    lm: LM, question: Question, n_held_out: int, max_new_tokens: int, gold_answer: bool, scored: Path | None = None
) -> Case:
    """Ask the model, or take the data's answer; the targets are the whole answer and, where it has several, its sentences.

    `scored`: a folder in which what is scored is kept.
    """
    template = TEMPLATE if lm.tokenizer.chat_template else PLAIN_TEMPLATE
    chat = conversation(question.documents, question.question, template=template)
    prompt = Prompt(lm.tokenizer, chat, cut(chat, question.splitter))
    if gold_answer:
        prompt = prompt.with_response(question.answer or "")
    else:
        prompt = prompt.with_generated(lm.generate(prompt.full().ids, max_new_tokens))
    targets = prompt.targets()
    if len(targets) == 2:  # the answer is one sentence
        targets = targets[:1]
    full = prompt.full()
    store = Store(scored and store_path(scored, lm.record(), lm.fingerprint(), full.ids, full.sources.tolist()))
    return Case(question, ContextAblation(lm, prompt, targets, store), n_held_out)


@dataclass(frozen=True, eq=False)
class Metered(ContextAblation):
    """An ablation that keeps account of what one method asks for, whether or not it was scored before.

    `tokens` of each mask: those of the prompt without the removed sources, and the answer. `others`: the sizes of what a method
    sent through the model by itself, forward and backward.
    """

    tokens: dict[bytes, int] = field(default_factory=dict)
    others: list[tuple[int, int]] = field(default_factory=list)
    scoring: list[bool] = field(default_factory=list)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """As the ablation gives them."""
        for mask in masks:
            if mask.tobytes() not in self.tokens:
                self.tokens[mask.tobytes()] = len(self.prompt.render(mask).ids)
        self.scoring.append(True)
        found = super().token_logprobs(masks)
        self.scoring.pop()
        return found

    @property
    def cost(self) -> dict[str, int]:
        """Passes and tokens, as if the method had run alone."""
        return {
            "passes": len(self.tokens) + sum(rows for rows, _ in self.others),
            "tokens": sum(self.tokens.values()) + sum(size for _, size in self.others),
        }


@contextmanager
def metered(ablation: ContextAblation) -> Iterator[Metered]:
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
