"""Log-odds of responses in padded batches of prompts of similar length: the plain path, for every model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.model.batches import by_length
from llmattr.model.contract import Weights
from llmattr.model.forward import abilities, evaluating, positions, vocabulary
from llmattr.model.odds import LogOdds, log_odds
from llmattr.text.prompt import Rendered

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_LOGITS = 2**25  # response positions x vocabulary held at once: 134 MB in float32


def in_batches(lm: Weights, requests: Sequence[Rendered]) -> Iterator[tuple[int, LogOdds]]:
    """Each request's number and log-odds."""
    for batch in batches(lm, requests):
        yield from zip(batch, padded(lm, [requests[i] for i in batch]), strict=True)


def batches(lm: Weights, requests: Sequence[Rendered]) -> list[list[int]]:
    """Request numbers, longest first, so that memory that does not suffice shows at once."""
    lengths = [len(request.ids) for request in requests]
    answers = [request.response.stop - request.response.start for request in requests]

    def fits(batch: list[int], number: int) -> bool:
        rows, positions = len(batch) + 1, max(answers[i] for i in [*batch, number])
        return rows * lengths[batch[0]] <= lm.max_batch_tokens and rows * positions * vocabulary(lm) <= MAX_LOGITS

    return by_length(lengths, fits)


@torch.inference_mode()
def padded(lm: Weights, batch: Sequence[Rendered]) -> list[LogOdds]:
    """The log-odds of one batch, in one pass."""
    longest, left = max(len(request.ids) for request in batch), _pads_left(lm)
    ids = torch.full((len(batch), longest), lm.pad_id)
    seen = torch.zeros_like(ids)
    spans = []
    for row, request in enumerate(batch):
        at = longest - len(request.ids) if left else 0
        ids[row, at : at + len(request.ids)] = torch.tensor(request.ids)
        seen[row, at : at + len(request.ids)] = 1
        spans.append((request.response.start + at, request.response.stop + at))
    ids = ids.to(lm.device)
    low, high = min(start for start, _ in spans) - 1, max(stop for _, stop in spans) - 1
    with evaluating(lm.model):
        logits = _logits(lm, ids, seen.to(lm.device), low, high)
    return [
        log_odds(logits[row, start - 1 - low : stop - 1 - low], ids[row, start:stop]) for row, (start, stop) in enumerate(spans)
    ]


@torch.inference_mode()
def odds_at(lm: Weights, ids: Sequence[int], place: int, tokens: Sequence[int], rows: int) -> Float[np.ndarray, "b k"]:
    """The log-odds of each of k tokens at this place, in `rows` rows of one pass over the same text."""
    text = torch.tensor([list(ids)] * rows, device=lm.device)
    with evaluating(lm.model):
        logits = _logits(lm, text, torch.ones_like(text), place - 1, place)[:, 0]
    return np.stack([log_odds(logits, torch.full((rows,), token, device=logits.device)) for token in tokens], axis=1)


def _logits(lm: Weights, ids: torch.Tensor, seen: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Logits [b, high - low, vocabulary] at these positions of the padded batch."""
    options = {name: positions(seen) for name in abilities(lm.model).padding_before or ()}
    if not seen.all():
        options["attention_mask"] = seen
    return logits_at(lm.model, torch.arange(low, high, device=ids.device), input_ids=ids, **options)


def logits_at(
    model: "PreTrainedModel", places: Int[torch.Tensor, " k"], **inputs: torch.Tensor | bool
) -> Float[torch.Tensor, "b k v"]:
    """The logits at these positions, alone where the model can."""
    inputs |= abilities(model).without_cache
    if abilities(model).keeps_logits:
        return model(logits_to_keep=places, **inputs).logits
    return model(**inputs).logits[:, places]


def _pads_left(lm: Weights) -> bool:
    return lm.padding_side == "left" and abilities(lm.model).padding_before is not None
