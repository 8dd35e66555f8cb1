"""What each row's gradient did to the queries in every step of a training run, to first order (in-run Data Shapley)."""

import dataclasses
from collections.abc import Iterable
from functools import partial, reduce

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.progress import progress
from llmattr.errors import LlmattrError
from llmattr.retraining.recipe import Recipe
from llmattr.retraining.replicated import OneRun
from llmattr.retraining.row_gradients import Gradients, Parameters, asked_gradients, each_gradient, said
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.together import can_stack
from llmattr.retraining.trainer import Training, clip


def in_run(
    trainer: CausalTrainer,
    weights: Float[np.ndarray, " rows"],
    seed: int,
    *,
    cap: float = 0.0,
    every: int = 1,
    product: str = "dot",
) -> OneRun:
    """The rows' values in one run, and the outputs before and after it; the run is `train`'s, to the bit.

    `cap`, `every`, `product`: the fields of `InRunShapley`. Values are in the outputs' unit with "dot".
    """
    lm = trainer.lm
    run = Training.of(lm.model, trainer.rows, weights, seed, trainer.recipe)
    before = trainer.measured(dataclasses.replace(lm, model=run.model))
    reach = _reach(run.recipe)
    stacked = can_stack(lm.model, trainer.longest)
    looked: list[Gradients] = []
    values = np.zeros((len(weights), len(before)))
    for step, batch in enumerate(progress(run.batches, "a model", "steps")):
        ids, counted = run.backward(step)
        moving, shortened = _clipped(run)
        place = {name: p.detach().clone() for name, p in moving.items()}
        run.update(step)
        if step % every == 0:
            looked = list(asked_gradients(trainer, run.model, place, stacked))
        gradients = each_gradient(partial(said, run.model), place, (ids, counted), stacked)
        effects = first_order(looked, gradients, _scales(run.optimizer, moving, step, cap), product)
        if not (finite := np.isfinite(effects).all(axis=0)).all():
            raise LlmattrError(f"the gradient of row {batch[finite.argmin()]} is not finite at step {step + 1}: leave it out")
        share = reach[step] * (shortened / float(counted[:, 1:].sum()) if product == "dot" else 1.0)
        np.add.at(values, batch, share * weights[batch, None] * effects.T)
    return OneRun(values.T, before, trainer.measured(dataclasses.replace(lm, model=run.model)))


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


def _clipped(run: Training) -> tuple[Parameters, float]:
    """The parameters that have a gradient, which is shortened as the run has it, and by what factor it was."""
    moving = {name: p for name, p in run.model.named_parameters() if p.grad is not None}
    length = _norm(moving)
    clip([p.grad for p in moving.values() if p.grad is not None], run.recipe.clip, stacked=False)
    return moving, _norm(moving) / length if length > 0 else 1.0


def _norm(moving: Parameters) -> float:
    return float(sum(p.grad.double().square().sum() for p in moving.values() if p.grad is not None)) ** 0.5
