"""Inside the model on the whole prompt: which tokens are whose, attention weights, and the response's log-odds with a graph."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Unpack

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from llmattr.errors import LlmattrError
from llmattr.model.attention import Attended, AttentionOptions, attending, own_attention, weighted_attention
from llmattr.model.contract import Weights
from llmattr.model.forward import abilities, evaluating, setting
from llmattr.model.odds import doubt, log_odds_of_logits, logprobs_of_log_odds, nan_advice
from llmattr.model.padded import logits_at
from llmattr.text.prompt import Rendered

ROWS = 128  # query positions whose attention weights are held at once


def source_of(full: Rendered) -> Int[np.ndarray, " s"]:
    """The source of each token of prompt and response, -1 for a token of none."""
    owner = np.full(len(full.ids), -1)
    for source, (first, last) in enumerate(full.sources):
        owner[first:last] = source
    return owner


def columns(full: Rendered, device: torch.device) -> Float[torch.Tensor, "s n"]:
    """Which tokens are whose: 1 where a source has a token, in float64."""
    owner = source_of(full)
    return torch.tensor(owner[:, None] == np.arange(len(full.sources)), dtype=torch.float64, device=device)


def attention_rows(
    rows: Int[torch.Tensor, " q"],
    module: torch.nn.Module,
    *,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    **options: Unpack[AttentionOptions],
) -> Iterator[Float[torch.Tensor, "h c s"]]:
    """The attention weights of these query positions, a few at a time."""
    for some in rows.to(query.device).split(ROWS):
        yield weighted_attention(module, query[:, :, some], key, value, mask[:, :, some], **options)[1][0]


def response_log_odds(lm: Weights, full: Rendered) -> Float[torch.Tensor, " r"]:
    """Log-odds `l_y - logsumexp_{j != y} l_j` of each response token, with a graph for gradients; as `LM.logprobs`."""
    lm.check([full.ids])
    first, last = full.response.start, full.response.stop
    ids = torch.tensor([full.ids], device=lm.device)
    logits = logits_at(lm.model, torch.arange(first - 1, last - 1, device=lm.device), input_ids=ids)[0]
    log_odds = log_odds_of_logits(logits, ids[0, first:last].to(logits.device))
    if log_odds.isnan().any():
        raise LlmattrError(f"the model gave NaN for the response: {nan_advice(lm.dtype)}")
    return log_odds


def response_attention(
    lm: Weights, full: Rendered, reduce: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """Of each layer what `reduce` makes of its attention weights [h, c, s], a few of the positions that predict the response,
    and of the values [1, h', s, k] that they weigh.

    Put together along the second dimension; only a few rows of one layer's weights are held at a time.
    """
    rows = torch.arange(full.response.start, full.response.stop) - 1
    layers: list[torch.Tensor] = []

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        **options: Unpack[AttentionOptions],
    ) -> Attended:
        chunks = attention_rows(rows, module, query=query, key=key, value=value, mask=mask, **options)
        layers.append(torch.cat([reduce(weights, value) for weights in chunks], dim=1))
        return own_attention(module, query, key, value, mask, **options)

    with torch.inference_mode(), attending(lm, attend):
        response_log_odds(lm, full)
    return layers


MAX_KEPT = 2**32  # bytes of attention weights kept for a backward pass; beyond it each layer is run again instead


Reduce = Callable[[torch.Tensor], Float[torch.Tensor, " n"]]


@contextmanager
def frozen(lm: Weights, tokens: int, again: AbstractContextManager[object] = nullcontext()) -> Iterator[None]:
    """Within, no parameter takes a gradient, and layers are run again in the backward pass where their weights are too many.

    `again`: what they are run again within, in whichever thread.
    """
    config, element = lm.model.config.get_text_config(), torch.finfo(lm.dtype).bits // 8
    heads = setting(config, "num_attention_heads", 0)  # a state-space model has none
    kept = config.num_hidden_layers * heads * tokens**2 * element
    abilities(lm.model)
    learning = [parameter for parameter in lm.model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        with evaluating(lm.model), _run_again(lm.model, again) if kept > MAX_KEPT else nullcontext():
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def _run_again(model: torch.nn.Module, again: AbstractContextManager[object]) -> Iterator[None]:
    """Within, a layer keeps its input alone for the backward pass, and computes the rest again there."""
    from torch.utils.checkpoint import checkpoint
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    before = [vars(layer).get("forward") for layer in layers]  # accelerate puts its own there
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, context_fn=lambda: (nullcontext(), again))
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


@contextmanager
def embedded(lm: Weights, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Within, the model reads `change(x)` in place of its input embeddings x [1, s, d]; the list holds what it read, a leaf."""
    read: list[torch.Tensor] = []

    def replace(_module: torch.nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        read.append(change(output.detach()).requires_grad_())
        return read[-1]

    handle = lm.model.get_input_embeddings().register_forward_hook(replace)
    try:
        yield read
    finally:
        handle.remove()


def per_source(values: Float[torch.Tensor, " s"], full: Rendered) -> Float[torch.Tensor, " n"]:
    """The sum over each source's tokens."""
    return torch.stack([values[first:last].sum() for first, last in full.sources.tolist()])


def target_gradients(
    log_odds: Float[torch.Tensor, " r"],
    spans: Int[np.ndarray, "t 2"],
    measure: str,
    inputs: torch.Tensor,
    reduce: Reduce,
    *,
    linear: bool = True,
) -> Float[np.ndarray, "t n"]:
    """`reduce(df / d inputs)` of each target's f, from the response's log-odds; inputs that play no part give 0.

    A target is the response's tokens in its span, its f their log-probability ("logprob") or the log-odds of that ("logit").

    With `p_k` the probability of token k and P their product over the target, `d log P = sum_k (1 - p_k) d log-odds_k`, and the
    log-odds of P have `d log P / (1 - P)`. Where `reduce` is linear, tokens in the same targets share one backward pass: a
    response and its k sentences take k, or k + 1 where white space stands between.
    """
    places = np.arange(len(log_odds))
    member = (spans[:, :1] <= places) & (places < spans[:, 1:])
    logprobs = logprobs_of_log_odds(log_odds.detach().double().cpu().numpy())
    parts, shares = _parts(member) if linear else (member, np.eye(len(member)))
    gradients = np.stack([_gradient(log_odds, inputs, reduce, np.where(part, -np.expm1(logprobs), 0.0)) for part in parts])
    values = shares @ gradients
    if measure == "logit":
        values /= doubt(member @ logprobs)[:, None]
    return values


def _parts(member: Bool[np.ndarray, "t r"]) -> tuple[Bool[np.ndarray, "p r"], Float[np.ndarray, "t p"]]:
    """The tokens grouped by the targets that they are in, and which groups make up each target."""
    shares, part_of = np.unique(member, axis=1, return_inverse=True)
    parts = part_of.reshape(-1) == np.arange(shares.shape[1])[:, None]
    used = shares.any(axis=0)
    return parts[used], shares[:, used].astype(float)


def _gradient(
    log_odds: Float[torch.Tensor, " r"],
    inputs: torch.Tensor,
    reduce: Reduce,
    slopes: Float[np.ndarray, " r"],
) -> Float[np.ndarray, " n"]:
    # Slopes of sure tokens are tiny: taken out of the backward pass, they keep their digits in any dtype.
    steepest = slopes.max() or 1.0
    weights = torch.tensor(slopes / steepest).to(log_odds)
    if not log_odds.requires_grad:
        return reduce(torch.zeros_like(inputs)).detach().double().cpu().numpy()
    (gradient,) = torch.autograd.grad(log_odds, inputs, weights, retain_graph=True, materialize_grads=True)
    return reduce(gradient).detach().double().cpu().numpy() * steepest
