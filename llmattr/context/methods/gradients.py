"""Gradients of the targets on the whole prompt, for every target from one forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float

from llmattr.ablation import ask
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.model.forward import abilities, evaluating
from llmattr.model.lm import LM
from llmattr.surrogate import UNITS
from llmattr.text.prompt import Rendered

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


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


@dataclass(frozen=True)
class GradientInput:
    """Input embeddings times their gradient, summed over each source: one pass, not to be trusted alone.

    `values[t, i] = sum over the source's tokens of x . df_t/dx` (dot, in nats of log-odds, Shrikumar et al. 2016, arXiv
    1605.01713), or the norm `|df_t/dx|` over all of the source's tokens (l2: how much it matters, without a sign or a unit).
    """

    name: ClassVar[str] = "gradient-input"
    family: ClassVar[str] = "predictive"
    norm: Literal["dot", "l2"] = option("dot", "embedding times gradient, or the length of the gradient")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """One row of scores per target; `baseline` = f(all) - sum of values for dot, None for l2."""
        from llmattr.context.methods.gradients import embedded, frozen, in_nats, per_source, target_gradients
        from llmattr.context.similarity import similarities
        from llmattr.model.inside import response_log_odds

        full = ablation.located()

        def times(gradient: Any) -> Any:
            return per_source((gradient * x)[0].sum(dim=1), full)

        def length(gradient: Any) -> Any:
            return per_source((gradient[0] ** 2).sum(dim=1), full).sqrt()

        with frozen(ablation.weights, len(full.ids)), embedded(ablation.weights, lambda x: x) as read:
            log_odds = response_log_odds(ablation.weights, full)
            x = read[0]
            if self.norm == "l2":
                values = target_gradients(ablation, log_odds, x, length, linear=False)
                return similarities(self, ablation, values, "gradient norm")
            values = target_gradients(ablation, log_odds, x, times)
        return in_nats(ablation, values, describe(self), seed)


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients along the straight line from blank source embeddings to the real ones; they add up to the whole change.

    `values[t, i] = sum over the source's tokens of (x - x') . mean_a df_t/dx at x' + a (x - x')`, a = the midpoints of `steps`
    equal parts of [0, 1], x' = the blank; query, template and response stay as they are (Sundararajan et al. 2017, arXiv
    1703.01365, equation 3). The sum of the values tends to f(all) - f(blank) as the steps grow.
    """

    name: ClassVar[str] = "integrated-gradients"
    family: ClassVar[str] = "predictive"
    steps: int = option(8, "points on the way from blank to real sources; one forward and backward pass each", least=1)
    blank: Literal["zero", "pad"] = option("zero", "what stands for a blank token: no embedding at all, or the padding token's")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target; `baseline` = f(all) - sum of values."""
        from llmattr.context.methods.gradients import frozen, in_nats

        points = (np.arange(self.steps) + 0.5) / self.steps
        with frozen(ablation.weights, len(ablation.located().ids)):
            values = np.mean([self.at(ablation, point) for point in points], axis=0)
        return in_nats(ablation, values, describe(self), seed, gradient_passes=self.steps)

    def at(self, ablation: "ContextAblation", point: float) -> Float[np.ndarray, "t n"]:
        """`(x - x') . df/dx` of each source at one point of the way."""
        import torch

        from llmattr.context.methods.gradients import embedded, per_source, target_gradients
        from llmattr.model.inside import response_log_odds, source_of

        full, blank = ablation.located(), _blank(ablation.weights, self.blank)
        inside = torch.tensor(source_of(full) >= 0, device=blank.device)[:, None]
        way: list[Any] = []

        def step(x: Any) -> Any:
            way.append(torch.where(inside, x - blank.to(x), 0.0))
            return x - (1 - point) * way[0]

        with embedded(ablation.weights, step) as read:
            log_odds = response_log_odds(ablation.weights, full)
        return target_gradients(
            ablation, log_odds, read[0], lambda gradient: per_source((gradient * way[0])[0].sum(dim=1), full)
        )


def _blank(lm: Any, kind: str) -> Any:
    """The embedding [d] of a blank token."""
    import torch

    table = lm.model.get_input_embeddings()
    if kind == "zero":
        return torch.zeros(table.weight.shape[1], dtype=table.weight.dtype, device=table.weight.device)
    with torch.no_grad():
        return table(torch.tensor(lm.pad_id, device=table.weight.device)).clone()
