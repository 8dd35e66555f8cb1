"""Examples in batches of similar length, as a model's padded inputs, for passes whose gradients are wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int

from llmattr.model.contract import Weights
from llmattr.model.forward import without_cache
from llmattr.text.rows import Examples


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded inputs of a model, the places [b, s] of its output that predict counted tokens, and those k tokens."""

    inputs: dict[str, torch.Tensor]
    at: Bool[torch.Tensor, "b s"]
    labels: Int[torch.Tensor, " k"]


def make_batch(lm: Weights, examples: Examples, rows: Sequence[int]) -> Batch:
    """Padded on the right, where nothing that counts ever sees it."""
    tokens = [torch.tensor(examples.ids[row]) for row in rows]
    counted, asked = ([torch.from_numpy(part[row]) for row in rows] for part in (examples.counted, examples.answers))
    if lm.kind == "seq2seq":  # the decoder says what is asked for, the encoder reads the rest
        labels = [t[a] for t, a in zip(tokens, asked, strict=True)]
        before = _pad(lm, [torch.cat([torch.tensor([lm.model.config.decoder_start_token_id]), one[:-1]]) for one in labels])
        encoder = [t[~a] for t, a in zip(tokens, asked, strict=True)]
        inputs = _inputs(lm, _pad(lm, encoder), _lengths(lm, encoder)) | {"decoder_input_ids": before}
        at = _pad(lm, [c[a] for c, a in zip(counted, asked, strict=True)])
        return Batch(inputs, at, _pad(lm, labels)[at])
    ids, said = _pad(lm, tokens), _pad(lm, counted)
    if lm.kind == "masked":
        hidden = ids.masked_fill(_pad(lm, asked), lm.tokenizer.mask_token_id)
        return Batch(_inputs(lm, hidden, _lengths(lm, tokens)), said, ids[said])
    predicts = torch.cat([said[:, 1:], torch.zeros_like(said[:, :1])], dim=1)  # a token is predicted one place before it
    return Batch(_inputs(lm, ids, _lengths(lm, tokens)), predicts, ids[said])


def _pad(lm: Weights, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(lm.device)


def _lengths(lm: Weights, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return _pad(lm, [torch.ones(len(row), dtype=torch.long) for row in rows])


def _inputs(lm: Weights, ids: torch.Tensor, seen: torch.Tensor) -> dict[str, Any]:
    masked = {} if seen.all() else {"attention_mask": seen}
    return {"input_ids": ids, **masked, **without_cache(lm.model)}


BATCH_TOKENS = 2048


def by_length(lengths: Sequence[int], fits: Callable[[list[int], int], bool]) -> list[list[int]]:
    """Numbers of texts, longest first, each in the batch of the one before it where `fits(batch, number)` says so.

    >>> by_length([1, 3, 2], lambda batch, number: len(batch) < 2)
    [[1, 2], [0]]
    """
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or not fits(batches[-1], number):
            batches.append([])
        batches[-1].append(number)
    return batches


def plan(examples: Examples, tokens: int | None = None) -> list[list[int]]:
    """Row numbers in batches of similar length, longest first, of at most so many tokens with their padding.

    The same data gives the same batches, so a resumed run computes the very numbers of an uninterrupted one.
    """
    lengths = [len(ids) for ids in examples.ids]
    return by_length(lengths, lambda batch, row: (len(batch) + 1) * lengths[batch[0]] <= (tokens or BATCH_TOKENS))


def batch_tokens(device: torch.device) -> int:
    """How many tokens a batch holds at most on this device: one that is wide needs more of them to be busy."""
    return BATCH_TOKENS if device.type == "cpu" else 8 * BATCH_TOKENS
