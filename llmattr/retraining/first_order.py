"""What each row's gradient did to the queries in every step of a training run, to first order (in-run Data Shapley)."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, reduce

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmattr.core.progress import progress
from llmattr.errors import LlmattrError
from llmattr.model.odds import log_odds_of_logprob_tensor
from llmattr.retraining.recipe import Recipe, check_weights
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.together import can_stack
from llmattr.retraining.trainer import adamw, backward, clip, padded, set_rate, started

Parameters = Mapping[str, torch.Tensor]
Gradients = dict[str, torch.Tensor]  # of several outputs or rows: each with one more dimension in front
Tokens = tuple[Int[torch.Tensor, "b s"], Bool[torch.Tensor, "b s"]]  # and which of them count
Mask = torch.Tensor | None

TOGETHER = 10_000_000  # numbers in the gradients that are formed at once


def in_run(
    trainer: CausalTrainer,
    weights: Float[np.ndarray, " rows"],
    seed: int,
    *,
    cap: float = 0.0,
    every: int = 1,
    product: str = "dot",
) -> tuple[Float[np.ndarray, "t rows"], Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """The rows' values [t, rows] in one run, and the outputs [t] before and after it; the run is `train`'s, to the bit.

    `cap`, `every`, `product`: the fields of `InRunShapley`. Values are in the outputs' unit with "dot".
    """
    check_weights(weights, len(trainer.rows))
    lm, rows = trainer.lm, trainer.rows
    recipe = trainer.recipe.for_rows(len(rows))
    model = started(lm.model, seed, recipe)
    before = trainer.measured(dataclasses.replace(lm, model=model))
    parameters = dict(model.named_parameters())
    optimizer = adamw(parameters, recipe)
    reach = _reach(recipe)
    stacked = can_stack(lm.model, trainer.longest)
    asked = padded(trainer.queries.ids, trainer.queries.counted, model.device)
    looked: list[Gradients] = []
    values = np.zeros((len(rows), len(before)))
    for step, batch in enumerate(progress(recipe.batches(weights > 0, seed), "a model", "steps")):
        ids, counted = backward(model, rows, weights, batch, step=step, seed=seed)
        moving, shortened = _clipped(parameters, recipe.clip)
        place = {name: p.detach().clone() for name, p in moving.items()}
        set_rate(optimizer, recipe.rate(step))
        optimizer.step()
        optimizer.zero_grad()
        if step % every == 0:
            looked = list(_asked_gradients(trainer, model, place, asked, stacked))
        gradients = _gradients(partial(_said, model), place, (ids, counted), stacked)
        effects = first_order(looked, gradients, _scales(optimizer, moving, step, cap), product)
        if not (finite := np.isfinite(effects).all(axis=0)).all():
            raise LlmattrError(f"the gradient of row {batch[finite.argmin()]} is not finite at step {step + 1}: leave it out")
        share = reach[step] * (shortened / float(counted[:, 1:].sum()) if product == "dot" else 1.0)
        np.add.at(values, batch, share * weights[batch, None] * effects.T)
    return values.T, before, trainer.measured(dataclasses.replace(lm, model=model))


def first_order(
    asked: list[Gradients], rows: Iterable[Gradients], scales: Parameters, product: str = "dot"
) -> Float[np.ndarray, "t b"]:
    """`<gradient of output t, scales * gradient of row i>` for all outputs [t] and rows [b], given in stacks of some.

    "cosine": divided by both lengths, `sqrt(<g, scales * g>)`; 0 where one is 0.
    """
    columns: list[list[torch.Tensor]] = []
    row_lengths: list[torch.Tensor] = []
    for stack in rows:
        scaled = {name: (part * scales[name]).flatten(1) for name, part in stack.items()}
        columns.append([_total(part.flatten(1) @ scaled[name].T for name, part in one.items()) for one in asked])
        row_lengths.append(_total((part.flatten(1) * scaled[name]).sum(1) for name, part in stack.items()))
    found = np.concatenate([np.concatenate([_numpy(part) for part in column]) for column in columns], axis=1)
    if product == "dot":
        return found
    asked_lengths = [_total((part.square() * scales[name]).flatten(1).sum(1) for name, part in one.items()) for one in asked]
    across, down = (np.sqrt(np.concatenate([_numpy(part) for part in parts])) for parts in (row_lengths, asked_lengths))
    lengths = down[:, None] * across
    return found / np.where(lengths > 0, lengths, 1.0)


def _total(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, parts)  # one after the other, so that the rounding does not depend on their number


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


def _asked_gradients(
    trainer: CausalTrainer, model: torch.nn.Module, place: Parameters, asked: Tokens, stacked: bool
) -> Iterable[Gradients]:
    """Those of the outputs, some at a time; of their mean the one of all queries."""

    def outputs(place: Parameters, asked: Tokens, mask: Mask = None) -> torch.Tensor:
        return trainer_outputs(trainer, _said(model, place, asked, mask))

    if trainer.mean:
        whole = torch.func.grad(lambda place: outputs(place, asked)[0])(place)
        return [{name: part[None] for name, part in whole.items()}]
    return _gradients(outputs, place, asked, stacked)


def _gradients(value: Callable[..., torch.Tensor], place: Parameters, rows: Tokens, stacked: bool) -> Iterator[Gradients]:
    """The gradient of each row's value by itself; of models that can be stacked those of some rows at a time."""

    def one(place: Parameters, ids: torch.Tensor, counted: torch.Tensor, mask: Mask = None) -> torch.Tensor:
        return value(place, (ids[None], counted[None]), mask)[0]

    ids, counted = rows
    if not stacked:
        for row, counts in zip(ids, counted, strict=True):
            yield {name: part[None] for name, part in torch.func.grad(one)(place, row, counts).items()}
        return
    length, dtype = ids.shape[1], next(iter(place.values())).dtype
    causal = torch.full((length, length), torch.finfo(dtype).min, dtype=dtype, device=ids.device).triu(1)[None, None]
    each = torch.func.vmap(torch.func.grad(one), (None, 0, 0, None))
    size = max(1, TOGETHER // sum(part.numel() for part in place.values()))
    for some, counts in zip(ids.split(size), counted.split(size), strict=True):
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels know no vmap
            yield each(place, some, counts, causal)  # with a mask of its own a model looks for no padding


def trainer_outputs(trainer: CausalTrainer, sums: Float[torch.Tensor, " q"]) -> Float[torch.Tensor, " t"]:
    """What `CausalTrainer.values` does with each query's log-probability, in tensors."""
    if trainer.measure == "logit":
        sums = log_odds_of_logprob_tensor(sums)
    return sums.mean(0, keepdim=True) if trainer.mean else sums


def _said(model: torch.nn.Module, place: Parameters, rows: Tokens, mask: Mask = None) -> Float[torch.Tensor, " b"]:
    """The log-probability of each row's counted tokens, with these parameters [b]."""
    ids, counted = rows
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    logits = torch.func.functional_call(model, dict(place), (), given).logits
    logprobs = torch.log_softmax(logits[:, :-1].float(), dim=-1).gather(-1, ids[:, 1:, None])[..., 0]
    return (logprobs * counted[:, 1:]).sum(1)


def _reach(recipe: Recipe, beta: float = 0.9) -> Float[np.ndarray, " steps"]:
    """The rates with which each step's gradient moves the parameters, now and later by momentum.

    `sum over t >= s of rate_t (1 - beta) beta^(t - s) / (1 - beta^(t + 1))`; over all steps they add up to the rates.
    """
    found, later = np.zeros(int(recipe.steps)), 0.0
    for step in reversed(range(len(found))):
        later = recipe.rate(step) / (1 - beta ** (step + 1)) + beta * later
        found[step] = (1 - beta) * later
    return found


def _scales(optimizer: torch.optim.Optimizer, moving: Parameters, step: int, cap: float) -> Parameters:
    """AdamW's step size of each parameter after this step, for a rate of 1."""
    beta = optimizer.defaults["betas"][1]
    eps = optimizer.defaults["eps"]
    found = {}
    for name, p in moving.items():
        root = (optimizer.state[p]["exp_avg_sq"] / (1 - beta ** (step + 1))).sqrt() + eps
        found[name] = 1 / (root if cap == 0 else root.clamp(min=float(root.mean()) / cap))
    return found


def _clipped(parameters: Parameters, most: float) -> tuple[Parameters, float]:
    """The parameters that have a gradient, which is shortened to this norm where it is longer, and by what factor it was."""
    moving = {name: p for name, p in parameters.items() if p.grad is not None}
    length = _norm(moving)
    clip([p.grad for p in moving.values() if p.grad is not None], most, stacked=False)
    return moving, _norm(moving) / length if length > 0 else 1.0


def _norm(moving: Parameters) -> float:
    return float(sum(p.grad.double().square().sum() for p in moving.values() if p.grad is not None)) ** 0.5
