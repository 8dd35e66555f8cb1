"""Prompts that begin alike, through their prefix tree: every shared token is computed once, and nothing is padded.

Requests in lexical order are the leaves of a tree in the order of a walk through it, so each one only adds the tokens
in which it differs from the one before. As many as fit are packed behind one another into one pass, in which a token
sees its own path to the root: no padding, long matrix products, and every shared token is computed once. The path
that the next pack begins with stays in the key-value cache.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmattr.model.attention import Attend, Attended, AttentionOptions, attending, own_attention
from llmattr.model.contract import Weights
from llmattr.model.forward import abilities, evaluating, vocabulary
from llmattr.model.odds import LogOdds, LogProbs, log_odds, logprobs_of_log_odds
from llmattr.model.padded import MAX_LOGITS
from llmattr.text.prompt import Rendered

if TYPE_CHECKING:
    from transformers import DynamicCache

MAX_PACK = 4096  # new tokens in one pass, at most
ROWS = 128  # tokens that attend at once: what stands behind each of them is computed in vain


@dataclass(frozen=True)
class Leaf:
    """A request in the tree: its number, and how many of its first tokens are those of the leaf before it."""

    number: int
    shared: int


def packs(requests: Sequence[Rendered], tokens: int, positions: int) -> Iterator[list[Leaf]]:
    """The leaves in lexical order, as many in a pack as bring no more new tokens and response positions than these.

    A leaf always brings the token before its response and what follows, whose logits are wanted.
    """
    pack: list[Leaf] = []
    held = answered = 0
    before: list[int] = []
    for i in sorted(range(len(requests)), key=lambda i: requests[i].ids):
        ids, response = requests[i].ids, requests[i].response
        shared = min(_common(before, ids), response.start - 1)
        new, length = len(ids) - shared, response.stop - response.start
        if pack and (held + new > tokens or answered + length > positions):
            yield pack
            pack, held, answered = [], 0, 0
        pack.append(Leaf(i, shared))
        held, answered, before = held + new, answered + length, ids
    if pack:
        yield pack


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def through_tree(lm: Weights, requests: Sequence[Rendered]) -> Iterator[tuple[int, LogOdds]]:
    """Each request's number and log-odds."""
    from transformers import DynamicCache

    cache, path = DynamicCache(), np.zeros(0, dtype=int)  # the cache's columns, and those of the last leaf's tokens
    for pack in packs(requests, _pack_tokens(lm), max(MAX_LOGITS // vocabulary(lm), 1)):
        _keep(cache, path[: pack[0].shared])
        leaves = [requests[leaf.number] for leaf in pack]
        plan = _plan([leaf.ids for leaf in leaves], [leaf.shared for leaf in pack])
        yield from zip((leaf.number for leaf in pack), _packed(lm, cache, plan, leaves), strict=True)
        path = plan.paths[-1]


def score_hidden(lm: Weights, request: Rendered, hidden: Sequence[np.ndarray], after: int) -> Iterator[tuple[int, LogProbs]]:
    """An approximation of removal: the tokens from `after` on do not see the hidden ones, but what they do see did.

    The keys and values of the whole prompt are computed once; `after` stands behind every token that is ever hidden.
    """
    from transformers import DynamicCache

    cache, new = DynamicCache(), len(request.ids) - after
    _begin(lm, cache, request.ids[:after])
    room = min(_pack_tokens(lm) // new, MAX_LOGITS // vocabulary(lm) // new) or 1
    for first in range(0, len(hidden), room):
        chosen = hidden[first : first + room]
        _keep(cache, np.arange(after))
        plan = _plan([request.ids] * len(chosen), [after] * len(chosen), chosen)
        odds = _packed(lm, cache, plan, [request] * len(chosen))
        yield from ((row, logprobs_of_log_odds(one)) for row, one in enumerate(odds, first))


@torch.inference_mode()
def _begin(lm: Weights, cache: "DynamicCache", ids: list[int]) -> None:
    """Fill the cache with the keys and values of these tokens."""
    with evaluating(lm.model):
        lm.model(input_ids=torch.tensor([ids], device=lm.device), logits_to_keep=1, **_growing(lm, cache))


def _growing(lm: Weights, cache: "DynamicCache") -> dict[str, Any]:
    """How the model is given a cache to read and to add to."""
    return {str(abilities(lm.model).cache): cache, "use_cache": True}


class Block(NamedTuple):
    """Some new tokens of a leaf: their rows in the pack, the columns (cache, then new) that they see, and what not of these."""

    rows: slice
    columns: Int[np.ndarray, " c"]
    unseen: Bool[np.ndarray, "q c"]


class Plan(NamedTuple):
    """New tokens behind the cached ones: ids [s], positions [s], and what each sees, in blocks that cover all of them.

    `paths` are the columns of every leaf's tokens from the root on.
    """

    ids: list[int]
    depths: list[int]
    blocks: list[Block]
    paths: list[np.ndarray]


@torch.inference_mode()
def _packed(lm: Weights, cache: "DynamicCache", plan: Plan, requests: Sequence[Rendered]) -> list[LogOdds]:
    """The log-odds of each leaf's response, from one pass."""
    cached = plan.depths[0]  # the tokens before the first new one
    keep = [path[r.response.start - 1 : r.response.stop - 1] - cached for path, r in zip(plan.paths, requests, strict=True)]
    with attending(lm, _leaf_by_leaf(lm, plan)):
        logits = lm.model(
            input_ids=torch.tensor([plan.ids], device=lm.device),
            position_ids=torch.tensor([plan.depths], device=lm.device),
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=lm.dtype, device=lm.device),  # blocks have their own
            **_growing(lm, cache),
            logits_to_keep=torch.tensor(np.concatenate(keep), device=lm.device),  # a token is predicted one place before it
        ).logits[0]
    rows = logits.split([len(columns) for columns in keep])
    said = [torch.tensor(request.ids[request.response], device=logits.device) for request in requests]
    return [log_odds(row, tokens) for row, tokens in zip(rows, said, strict=True)]


def _leaf_by_leaf(lm: Weights, plan: Plan) -> Attend:
    """Attention of each block to its own columns alone: between leaves nothing is computed."""
    least = torch.finfo(lm.dtype).min
    blocks = [
        (
            block.rows,
            torch.from_numpy(block.columns).to(lm.device),
            torch.zeros(block.unseen.shape, dtype=lm.dtype).masked_fill_(torch.from_numpy(block.unseen), least).to(lm.device),
        )
        for block in plan.blocks
    ]

    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor, **options: Unpack[AttentionOptions]
    ) -> Attended:
        parts = [
            own_attention(module, query[:, :, rows], key[:, :, seen], value[:, :, seen], mask[None, None], **options)[0]
            for rows, seen, mask in blocks
        ]
        return torch.cat(parts, dim=1), None

    return attend


def _plan(leaves: Sequence[list[int]], shared: Sequence[int], hidden: Sequence[np.ndarray] = ()) -> Plan:
    """A pack behind the cached path of `shared[0]` tokens: of each leaf the tokens that it does not share.

    `hidden`: columns that a leaf's new tokens do not see.
    """
    path, at, paths, blocks = np.arange(shared[0]), 0, [], []
    for number, (ids, s) in enumerate(zip(leaves, shared, strict=True)):
        path = np.concatenate([path[:s], shared[0] + at + np.arange(len(ids) - s)])
        for first in range(s, len(ids), ROWS):
            last = min(first + ROWS, len(ids))
            unseen = np.arange(last) > np.arange(first, last)[:, None]
            if hidden:
                unseen |= np.isin(path[:last], hidden[number])
            blocks.append(Block(slice(at + first - s, at + last - s), path[:last], unseen))
        at += len(ids) - s
        paths.append(path)
    new = [(token, depth) for ids, s in zip(leaves, shared, strict=True) for depth, token in enumerate(ids[s:], s)]
    return Plan([token for token, _ in new], [depth for _, depth in new], blocks, paths)


def _pack_tokens(lm: Weights) -> int:
    return min(lm.max_batch_tokens, MAX_PACK)


def _keep(cache: "DynamicCache", columns: Int[np.ndarray, " c"]) -> None:
    """Leave only these columns in the cache."""
    layers: list[Any] = cache.layers  # of several classes: those that were filled have keys and values [1, h, c, d]
    for layer in layers:
        chosen = torch.from_numpy(columns).to(layer.keys.device)
        layer.keys, layer.values = layer.keys.index_select(2, chosen), layer.values.index_select(2, chosen)
