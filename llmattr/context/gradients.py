"""Gradients of the targets on the whole prompt, for every target from one forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from llmattr.ablation import ask
from llmattr.forward import abilities, evaluating
from llmattr.lm import LM
from llmattr.prompt import Rendered
from llmattr.surrogate import UNITS
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation

MAX_KEPT = 2**32  # bytes of attention weights kept for a backward pass; beyond it each layer is run again instead
Reduce = Callable[[torch.Tensor], Float[torch.Tensor, " n"]]


@contextmanager
def frozen(lm: LM, tokens: int) -> Iterator[None]:
    """Within, no parameter takes a gradient, and layers are run again in the backward pass where their weights are too many."""
    config, element = lm.model.config.get_text_config(), torch.finfo(lm.dtype).bits // 8
    heads = getattr(config, "num_attention_heads", 0)  # a state-space model has none
    kept = config.num_hidden_layers * heads * tokens**2 * element
    abilities(lm.model)
    learning = [parameter for parameter in lm.model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        with evaluating(lm.model), _run_again(lm.model) if kept > MAX_KEPT else nullcontext():
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def _run_again(model: Any) -> Iterator[None]:
    """Within, a layer keeps its input alone for the backward pass, and computes the rest again there."""
    from torch.utils.checkpoint import checkpoint
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    before = [vars(layer).get("forward") for layer in layers]  # accelerate puts its own there
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


@contextmanager
def embedded(lm: LM, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Within, the model reads `change(x)` in place of its input embeddings x [1, s, d]; the list holds what it read, a leaf."""
    read: list[torch.Tensor] = []

    def replace(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
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
    ablation: "ContextAblation",
    log_odds: Float[torch.Tensor, " r"],
    inputs: torch.Tensor,
    reduce: Reduce,
    linear: bool = True,
) -> Float[np.ndarray, "t n"]:
    """`reduce(df / d inputs)` of each target's f, from the response's log-odds; inputs that play no part give 0.

    With `p_k` the probability of token k and P their product over the target, `d log P = sum_k (1 - p_k) d log-odds_k`, and the
    log-odds of P have `d log P / (1 - P)`. Where `reduce` is linear, tokens in the same targets share one backward pass: a
    response and its k sentences take k, or k + 1 where white space stands between.
    """
    spans, places = ablation.target_tokens, np.arange(len(log_odds))
    member = (spans[:, :1] <= places) & (places < spans[:, 1:])
    logprobs = -np.logaddexp(0.0, -log_odds.detach().double().cpu().numpy())
    parts, shares = _parts(member) if linear else (member, np.eye(len(member)))
    gradients = np.stack([_gradient(log_odds, inputs, reduce, np.where(part, -np.expm1(logprobs), 0.0)) for part in parts])
    values = shares @ gradients
    if ablation.targets.measure == "logit":
        values /= -np.expm1(np.minimum(member @ logprobs, -1e-300))[:, None]
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


def in_nats(
    ablation: "ContextAblation", values: Float[np.ndarray, "t n"], method: dict[str, Any], seed: int, **run: Any
) -> Attribution:
    """Values in the targets' own unit; `baseline` is what they leave of the whole prompt's f."""
    (full,) = ask(ablation, np.ones((1, len(ablation.sources)), dtype=bool))
    return Attribution(
        values=values,
        sources=ablation.sources,
        targets=ablation.targets,
        unit=UNITS[ablation.targets.measure],
        method=method,
        run={**ablation.record(), **run, "seed": seed},
        baseline=full - values.sum(axis=1),
    )
