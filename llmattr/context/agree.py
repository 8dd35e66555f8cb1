"""May a small model stand for a served one? The same ablations scored on both, and whether they rank them alike."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from llmattr.ablation import Ablation, every_mask, random_masks
from llmattr.context.cite import ContextSession
from llmattr.context.opening import ablation_of
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.removal.cache import limit
from llmattr.context.removal.contrast import ContrastAblation
from llmattr.core.agreement import Agreement
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number, note
from llmattr.metrics.stats import rank_agreement
from llmattr.model.chat import ChatServer
from llmattr.model.server import ServerLM
from llmattr.text.messages import Message
from llmattr.text.prompt import Prompt

LEAST = 4  # ablations: fewer have next to no order
BEFORE_ANSWER = Message("assistant", ("Answer:\n",))  # what a plain prompt ends with (`PLAIN_TEMPLATE`)


def agreement(
    result: Attribution,
    served: ServerLM | ChatServer,
    n_ablations: int = 16,
    seed: int = 0,
    *,
    max_new_tokens: int = 256,
    cache: str | Path | None = None,
) -> Agreement:
    """How far the model of a fresh result of `cite` stands for a served one: Spearman's correlation of the answer's scores.

    Over `n_ablations` of those that the result was fitted on, drawn by `seed`; random ones beside them where it asked for less.
    A `ServerLM` scores the answer under each, of a `ChatServer` it is the similarity of what it generates to the answer.
    Raises `LlmattrError` for a result that was loaded from a file, of one source, or of two answers.
    """
    check_number("n_ablations", n_ablations, LEAST, whole=True)
    if not isinstance(result.session, ContextSession):
        raise LlmattrError("only a fresh result of cite() can be compared with a served model; run cite() again for this one")
    ablation = result.session.ablation
    if isinstance(ablation, ContrastAblation):
        raise LlmattrError("a served model is compared on one answer: leave rather_than out")
    if len(ablation.sources) < 2:
        raise LlmattrError("with one source there are two ablations, whose order says nothing of a served model")
    masks = _drawn(ablation, n_ablations, seed)
    there = _served(ablation, served, max_new_tokens, cache)
    theirs = there(masks)[:, 0]
    rank, low, high = rank_agreement(ablation.with_all_targets()(masks)[:, 0], theirs, seed=seed)
    by = "similarity" if isinstance(served, ChatServer) else "log-probability"
    return Agreement(served.record()["model"], served.url, by, len(masks), rank, low, high)


def _drawn(ablation: ContextAblation, k: int, seed: int) -> Bool[np.ndarray, "k n"]:
    """k different masks: of those that the method asked for, then random ones, or as many as there are."""
    n, asked = len(ablation.sources), list(ablation.store.asked)
    order = np.random.default_rng(seed).permutation(len(asked)).tolist()
    others = every_mask(n) if 2**n <= 4 * k else random_masks(4 * k, n, seed=seed)
    different = dict.fromkeys([*(asked[i] for i in order[:k]), *(mask.tobytes() for mask in others)])
    return np.stack([np.frombuffer(mask, dtype=bool) for mask in different][:k])


def _served(ablation: ContextAblation, served: ServerLM | ChatServer, most: int, cache: str | Path | None) -> Ablation:
    """The same ablation of the same answer, on the served model with its own chat template."""
    prompt, messages = ablation.prompt, ablation.prompt.messages
    if prompt.tokenizer.chat_template and not served.tokenizer.chat_template:
        note(f"{served.name} is asked in plain text: its own tokenizer (--tokenizer, tokenizer=) has its chat template")
        messages = (*messages, BEFORE_ANSWER)
    there = Prompt(served.tokenizer, messages, prompt.sources, tools=prompt.tools).with_response(prompt.response)
    room = limit() if cache is not None else 0.0
    found = ablation_of(served, there, ablation.targets.measure, max_new_tokens=most, cache=cache, room=room)
    return dataclasses.replace(found, targets=found.targets[:1])
