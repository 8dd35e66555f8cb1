"""Log-probabilities of responses under many prompts: those that begin alike share what they begin with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError, note
from llmattr.prompt import Rendered

if TYPE_CHECKING:
    from llmattr.lm import LM

MAX_LOGITS = 2**25  # response positions x vocabulary held at once: 134 MB in float32
CHUNK = 64  # response positions whose logits are turned to float32 at once
MAX_PACK = {"cpu": 512}  # new tokens in one pass, at most: attention between them is a square, most of it wasted

LogProbs = Float[np.ndarray, " r"]


def score(lm: "LM", requests: Sequence[Rendered]) -> Iterator[tuple[int, LogProbs]]:
    """Each request's number and the float64 log-probabilities of its response, as they come.

    From float32 log-odds `l_y - logsumexp_{j != y} l_j`, so that probabilities near 1 keep their digits.
    """
    longest = max(len(request.ids) for request in requests)
    paths = _through_tree if len(requests) > 1 and shares_prefixes(lm, longest) else _in_batches
    with torch.inference_mode():
        for i, odds in paths(lm, requests):
            yield i, -np.logaddexp(0.0, -odds)


def accepted(model: torch.nn.Module) -> set[str]:
    """The names of the arguments that a model takes, also when it is wrapped (`torch.compile`, PEFT)."""
    import inspect

    wrapped: Any = model
    inner = getattr(model, "_orig_mod", None) or (wrapped.get_base_model() if hasattr(model, "get_base_model") else None)
    return set(inspect.signature(model.forward).parameters) | (accepted(inner) if inner is not None else set())


# The prefix tree. Requests in lexical order are the leaves of a tree in the order of a walk through it, so each one only adds
# the tokens in which it differs from the one before. As many as fit are packed behind one another into one pass, in which a
# token sees its own path to the root: no padding, long matrix products, and every shared token is computed once. The path
# that the next pack begins with stays in the key-value cache.


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


def _through_tree(lm: "LM", requests: Sequence[Rendered]) -> Iterator[tuple[int, LogProbs]]:
    from transformers import DynamicCache

    cache, path = DynamicCache(), np.zeros(0, dtype=int)  # the cache's columns, and those of the last leaf's tokens
    positions = max(MAX_LOGITS // _vocabulary(lm), 1)
    for pack in packs(requests, min(lm.max_batch_tokens, MAX_PACK.get(lm.device.type, 4096)), positions):
        _keep(cache, path[: pack[0].shared])
        ids, depths, seen, paths = _plan([requests[leaf.number].ids for leaf in pack], [leaf.shared for leaf in pack])
        keep = [_before(requests[leaf.number], columns) for leaf, columns in zip(pack, paths, strict=True)]
        start = pack[0].shared
        logits = lm.model(
            input_ids=torch.tensor([ids], device=lm.device),
            position_ids=torch.tensor([depths], device=lm.device),
            attention_mask=_additive(seen, lm.dtype)[None, None].to(lm.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.tensor(np.concatenate(keep) - start, device=lm.device),
        ).logits[0]
        rows = logits.split([len(columns) for columns in keep])
        for leaf, row in zip(pack, rows, strict=True):
            request = requests[leaf.number]
            yield leaf.number, log_odds(row, torch.tensor(request.ids[request.response], device=row.device))
        path = paths[-1]


def _plan(leaves: Sequence[list[int]], shared: Sequence[int]) -> tuple[list[int], list[int], np.ndarray, list[np.ndarray]]:
    """The new tokens of a pack behind the cached path of `shared[0]` tokens, one leaf after the other.

    Returns ids [s], positions [s], which of the columns (cache and pack) each token sees [s, c + s], and every leaf's columns.
    """
    cached = shared[0]
    new = [len(ids) - s for ids, s in zip(leaves, shared, strict=True)]
    seen = np.zeros((sum(new), cached + sum(new)), dtype=bool)
    path, at, paths = np.arange(cached), 0, []
    for s, count in zip(shared, new, strict=True):
        own = cached + at + np.arange(count)
        seen[at : at + count, path[:s]] = True
        seen[at : at + count, own] = np.tri(count, dtype=bool)
        path, at = np.concatenate([path[:s], own]), at + count
        paths.append(path)
    ids = [token for leaf, s in zip(leaves, shared, strict=True) for token in leaf[s:]]
    depths = [depth for leaf, s in zip(leaves, shared, strict=True) for depth in range(s, len(leaf))]
    return ids, depths, seen, paths


def _before(request: Rendered, columns: Int[np.ndarray, " s"]) -> Int[np.ndarray, " r"]:
    """The columns that predict the response: a token is predicted one place before it."""
    return columns[request.response.start - 1 : request.response.stop - 1]


def _additive(seen: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """What eager attention adds and the fused kernels take: 0 where a token sees another, else the least number."""
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(torch.from_numpy(~seen), torch.finfo(dtype).min)


def _keep(cache: Any, columns: Int[np.ndarray, " c"]) -> None:
    """Leave only these columns in the cache."""
    for layer in cache.layers:
        chosen = torch.from_numpy(columns).to(layer.keys.device)
        layer.keys, layer.values = layer.keys.index_select(2, chosen), layer.values.index_select(2, chosen)


_SHARING: "WeakKeyDictionary[torch.nn.Module, bool]" = WeakKeyDictionary()


def shares_prefixes(lm: "LM", longest: int) -> bool:
    """Whether the prefix tree is exact for this model and prompts of this length, tried once on few tokens.

    Attention must read a cache and any pattern of what a token sees; windows shorter than a prompt are for the plain path.
    """
    if not lm.share_prefixes:
        return False
    if lm.model not in _SHARING:
        _SHARING[lm.model] = _agrees(lm)
        if not _SHARING[lm.model]:
            note(f"{lm.name or 'this model'} cannot share the beginnings of prompts: each is computed whole")
    config = lm.model.config.get_text_config()
    windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return _SHARING[lm.model] and all(longest <= window for window in windows if window)


def _agrees(lm: "LM") -> bool:
    """Compare the tree with the plain path where both are quick: a branch inside a pack and one over two."""
    if not {"position_ids", "past_key_values", "logits_to_keep"} <= accepted(lm.model) or lm.max_batch_tokens < 1:
        return False
    ids = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 9, 8, 10], [5, 6, 8, 7, 9, 10, 11]]
    ids = [[token % _vocabulary(lm) for token in row] for row in ids]
    requests = [Rendered(row, slice(len(row) - 2, len(row)), np.zeros((0, 2), dtype=int)) for row in ids]
    narrow = _narrowed(lm, 8)
    try:
        with torch.inference_mode():
            tree, plain = dict(_through_tree(narrow, requests)), dict(_in_batches(narrow, requests))
    except Exception:  # a model that cannot do it refuses in its own words
        return False
    error = max(float(np.abs(tree[i] - plain[i]).max()) for i in plain)
    return error <= 100 * torch.finfo(lm.dtype).eps ** 0.75  # rounding grows with depth; a wrong pattern is off by far more


def _narrowed(lm: "LM", tokens: int) -> "LM":
    import dataclasses

    return dataclasses.replace(lm, max_batch_tokens=tokens)


# The plain path: padded batches of similar length.


def _in_batches(lm: "LM", requests: Sequence[Rendered]) -> Iterator[tuple[int, LogProbs]]:
    for batch in batches(lm, requests):
        yield from zip(batch, _padded(lm, [requests[i] for i in batch]), strict=True)


def batches(lm: "LM", requests: Sequence[Rendered]) -> Iterator[list[int]]:
    """Request numbers, longest first, so that memory that does not suffice shows at once."""
    batch: list[int] = []
    positions = longest = 0
    for i in sorted(range(len(requests)), key=lambda i: -len(requests[i].ids)):
        response = requests[i].response
        positions = max(positions, response.stop - response.start)
        longest = max(longest, len(requests[i].ids))
        rows = len(batch) + 1
        if batch and (rows * longest > lm.max_batch_tokens or rows * positions * _vocabulary(lm) > MAX_LOGITS):
            yield batch
            batch, positions, longest = [], response.stop - response.start, len(requests[i].ids)
        batch.append(i)
    if batch:
        yield batch


def _padded(lm: "LM", batch: Sequence[Rendered]) -> list[LogProbs]:
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
    logits = _logits(lm, ids, seen.to(lm.device), low, high)
    return [
        log_odds(logits[row, start - 1 - low : stop - 1 - low], ids[row, start:stop]) for row, (start, stop) in enumerate(spans)
    ]


def _logits(lm: "LM", ids: torch.Tensor, seen: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Logits [b, high - low, vocabulary] at these positions of the padded batch."""
    known = accepted(lm.model)
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}
    if "position_ids" in known:  # a token's position does not count the padding before it
        options["position_ids"] = (seen.cumsum(1) - 1).clamp(min=0)
    if not seen.all():
        options["attention_mask"] = seen
    if "logits_to_keep" in known:
        keep = torch.arange(low, high, device=ids.device)
        return lm.model(input_ids=ids, logits_to_keep=keep, **options).logits
    return lm.model(input_ids=ids, **options).logits[:, low:high]


def _pads_left(lm: "LM") -> bool:
    # A model that takes no positions counts them from the left, padding and all.
    return lm.padding_side == "left" and "position_ids" in accepted(lm.model)


def _vocabulary(lm: "LM") -> int:
    return lm.model.config.get_text_config().vocab_size


def log_odds(logits: Float[torch.Tensor, "r v"], tokens: Int[torch.Tensor, " r"]) -> LogProbs:
    """`l_y - logsumexp_{j != y} l_j` of each token y in float32 or better, a few positions at a time; raises for NaN."""
    parts = []
    for chunk, token in zip(logits.split(CHUNK), tokens.split(CHUNK), strict=True):
        chunk = chunk.to(torch.promote_types(chunk.dtype, torch.float32))
        chosen = chunk.gather(1, token[:, None])
        others = chunk.scatter(1, token[:, None], -torch.inf).logsumexp(1)
        parts.append(chosen[:, 0] - others)
    odds = torch.cat(parts).cpu().numpy().astype(np.float64)
    if np.isnan(odds).any():
        bad = int(np.isnan(odds).argmax())
        raise LlmattrError(f"the model gave NaN at response token {bad + 1} of {len(odds)}: try --dtype float32 (dtype=)")
    return odds
