"""Log-probabilities of responses under many prompts: through the prefix tree where the model allows it, else in batches."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from llmattr.errors import note
from llmattr.model.contract import Weights
from llmattr.model.forward import abilities, alike, attempt, sees_all, setting, uncompiled, vocabulary
from llmattr.model.odds import LogProbs, logprobs_of_log_odds
from llmattr.model.padded import in_batches
from llmattr.model.prefix_tree import through_tree
from llmattr.text.prompt import Rendered

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def score(lm: Weights, requests: Sequence[Rendered]) -> Iterator[tuple[int, LogProbs]]:
    """Each request's number and the float64 log-probabilities of its response, as they come.

    From float32 log-odds `l_y - logsumexp_{j != y} l_j`, so that probabilities near 1 keep their digits.
    """
    for numbers in read_alike(lm.model, [len(request.ids) for request in requests]):
        some = [requests[i] for i in numbers]
        longest = max(len(request.ids) for request in some)
        paths = through_tree if len(some) > 1 and shares_prefixes(lm, longest) else in_batches
        for i, odds in paths(lm, some):
            yield numbers[i], logprobs_of_log_odds(odds)


def read_alike(model: "PreTrainedModel", lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of the prompts in groups whose positions a model reads alike, whatever else stands in a pass.

    Some change the angles of their rotary positions, for all of a pass, where its longest prompt is longer than those that they
    were first trained on: to others ("longrope", as Phi-3's), or by that very length ("dynamic").
    """
    config = model.config.get_text_config()
    rope = config.to_dict().get("rope_parameters") or config.to_dict().get("rope_scaling") or {}
    kind = str(rope.get("rope_type"))
    if kind == "longrope" or "dynamic" in kind:
        return _by_angles(config, rope, lengths)
    return [list(range(len(lengths)))]


def _by_angles(config: "PretrainedConfig", rope: Mapping[str, Any], lengths: Sequence[int]) -> list[list[int]]:
    first = rope.get("original_max_position_embeddings") or setting(config, "original_max_position_embeddings")
    first = first or setting(config, "max_position_embeddings", 0)
    groups: dict[int, list[int]] = {}
    for number, length in enumerate(lengths):
        side = 0 if length <= first else 1 if rope["rope_type"] == "longrope" else length
        groups.setdefault(side, []).append(number)
    return list(groups.values())


_SHARING: "WeakKeyDictionary[torch.nn.Module, bool]" = WeakKeyDictionary()


def shares_prefixes(lm: Weights, longest: int) -> bool:
    """Whether the prefix tree is exact for this model and prompts of this length, tried once on few tokens.

    Attention must read a cache and any pattern of what a token sees; windows shorter than a prompt are for the plain path.
    """
    if not lm.share_prefixes:
        return False
    if lm.model not in _SHARING:
        _SHARING[lm.model] = _agrees(lm)
        if not _SHARING[lm.model]:
            note(f"{lm.name or 'this model'} cannot share the beginnings of prompts: each is computed whole")
    return _SHARING[lm.model] and sees_all(lm.model.config.get_text_config(), longest)


def _agrees(lm: Weights) -> bool:
    """Compare the tree with the plain path where both are quick: a branch inside a pack and one over two."""
    if uncompiled(lm.model) is not lm.model:  # every pack has a shape of its own, which would be compiled for itself
        return False
    if abilities(lm.model).cache is None or not abilities(lm.model).keeps_logits or lm.max_batch_tokens < 1:
        return False
    ids = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 9, 8, 10], [5, 6, 8, 7, 9, 10, 11]]
    ids = [[token % vocabulary(lm) for token in row] for row in ids]
    requests = [Rendered(row, slice(len(row) - 2, len(row)), np.zeros((0, 2), dtype=int)) for row in ids]
    narrow = dataclasses.replace(lm, max_batch_tokens=8)
    tree, plain = (attempt(lambda path=path: dict(path(narrow, requests))) for path in (through_tree, in_batches))
    return tree is not None and plain is not None and all(alike(tree[i], plain[i], lm.dtype) for i in plain)
