"""The derivative of each output at the end of a training run by each row's weight, back through every step (MAGIC).

Reverse mode through the run (Engstrom et al. 2025, arXiv 2503.13751; Ilyas and Engstrom 2025, arXiv 2504.16430): a step of
`train` maps the state s = (parameters, AdamW's first and second moments) and the weights of its rows to the next state, and
with the adjoint `a = d output / d s` after it, `a ds'/ds` is the adjoint before it and `a ds'/dw` what the weights did.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmattr.core.progress import Progress, progress
from llmattr.errors import LlmattrError
from llmattr.retraining.replicated import OneRun
from llmattr.retraining.row_gradients import asked_gradients
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.together import can_stack
from llmattr.retraining.trainer import Training, batch_loss, shortening

Tensors = tuple[torch.Tensor, ...]
Parameters = dict[str, torch.Tensor]  # by name
MOMENTS = ("exp_avg", "exp_avg_sq")  # what PyTorch calls AdamW's


class State(NamedTuple):
    """A run before a step: the parameters and AdamW's moments of their gradients; as an adjoint, of k outputs, [k] in front."""

    place: Parameters
    first: Parameters
    second: Parameters

    @property
    def tensors(self) -> Tensors:
        """All of them, one behind the other."""
        return tuple(tensor for part in self for tensor in part.values())

    def like(self, tensors: Sequence[torch.Tensor]) -> "State":
        """Others in the place of these, in the same order."""
        rest = iter(tensors)
        return State(*({name: next(rest) for name in part} for part in self))

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "State":
        """The same with every tensor changed."""
        return self.like([change(tensor) for tensor in self.tensors])


def metagradient(trainer: CausalTrainer, weights: Float[np.ndarray, " rows"], seed: int, *, kept: int | None = None) -> OneRun:
    """`d output / d weight` at these weights, in the outputs' unit by 1 of a weight; the run is `train`'s to the bit.

    A row of weight 0 is in no step and has 0. `baseline`: the outputs less the weights times their derivatives. States before
    `kept` steps, evenly spaced, are held in memory (3 numbers a parameter each); on the way back the steps between them are
    taken again, which changes no bit. None: the square root of the steps, at which the fewest states are held. The adjoints
    take 3 numbers for each parameter and output. Raises `LlmattrError` for a model that cannot be differentiated twice, and
    where a derivative is not finite.
    """
    lm = trainer.lm
    run = Training.of(lm.model, trainer.rows, weights, seed, trainer.recipe)
    steps = len(run.batches)
    apart = max(1, math.ceil(steps / (kept or math.isqrt(steps) or 1)))
    marks: dict[int, State] = {}
    for step in progress(range(steps), "a model", "steps"):
        if step % apart == 0:
            marks[step] = state_of(run)
        run.step(step)
    after = trainer.measured(dataclasses.replace(lm, model=run.model))
    place = {name: p.detach() for name, p in _moving(run).items()}
    asked = asked_gradients(trainer, run.model, place, can_stack(lm.model, trainer.longest))
    adjoints = [State(one, _zeros(one), _zeros(one)) for one in asked]
    values = np.zeros((len(weights), len(after)))
    with Progress(steps, "the way back", "steps") as bar:
        for step, state in backwards(run, marks):
            adjoints, effects = before(run, step, state, adjoints)
            np.add.at(values, run.batches[step], effects.T)
            bar.update()
    return OneRun(values.T, after - weights @ values, after)


def state_of(run: Training) -> State:
    """A copy of where the run is."""
    moving = _moving(run)
    moments = ({name: run.optimizer.state[p].get(key, torch.zeros_like(p)) for name, p in moving.items()} for key in MOMENTS)
    return State(moving, *moments).each(lambda tensor: tensor.detach().clone())


@torch.no_grad()
def restore(run: Training, state: State, step: int) -> None:
    """Bring the run back to the state that it was in before this step."""
    first, second = MOMENTS
    for name, p in _moving(run).items():
        p.copy_(state.place[name])
        moments = {first: state.first[name].clone(), second: state.second[name].clone()}
        run.optimizer.state[p] = {"step": torch.tensor(float(step), device=p.device), **moments}


def backwards(run: Training, marks: dict[int, State]) -> Iterator[tuple[int, State]]:
    """Every step with the state before it, from the last one; from each mark to the next the steps are taken once more."""
    end = len(run.batches)
    for first in sorted(marks, reverse=True):
        states = [marks.pop(first)]
        restore(run, states[0], first)
        for step in range(first, end - 1):
            run.step(step)
            states.append(state_of(run))
        for step in reversed(range(first, end)):
            yield step, states.pop()
        end = first


def before(run: Training, step: int, state: State, adjoints: list[State]) -> tuple[list[State], Float[np.ndarray, "t b"]]:
    """The adjoints before a step from those after it, and the part of `d output / d weight` of its rows that it made."""
    rows = run.batches[step]
    given, weights = state.each(torch.Tensor.requires_grad_), torch.from_numpy(run.weights[rows]).requires_grad_()
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
        after = stepped(run, step, given, weights)
    found = [_pulled(after.tensors, (*given.tensors, weights), adjoint.tensors) for adjoint in adjoints]
    effects = torch.cat([tensors[-1] for tensors in found]).numpy()
    if not (finite := np.isfinite(effects).all(axis=0)).all():
        raise LlmattrError(
            f"the derivative by the weight of row {rows[finite.argmin()]} is not finite at step {step + 1}: take a smaller "
            "--learning-rate, or in-run-shapley"
        )
    return [given.like(tensors[:-1]) for tensors in found], effects


def stepped(run: Training, step: int, state: State, weights: Float[torch.Tensor, " b"]) -> State:
    """The state after a step of `train`, with a graph by the state before it and by the weights of its rows.

    AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with the clipped gradient g of the loss: `m' = b1 m + (1 - b1) g`,
    `v' = b2 v + (1 - b2) g^2`, `p' = (1 - rate decay) p - rate m' / c1 / (sqrt(v' / c2) + eps)`, where `c = 1 - b^(step + 1)`.
    """
    ids, counted = run.tokens(step)
    options = {"input_ids": ids, "use_cache": False}
    loss = batch_loss(torch.func.functional_call(run.model, dict(state.place), (), options).logits, ids, counted, weights)
    found = torch.autograd.grad(loss, tuple(state.place.values()), create_graph=True, materialize_grads=True)
    factor = shortening(found, run.recipe.clip, stacked=False)[0] if run.recipe.clip else loss.new_ones(())
    gradients = {name: g * factor.to(g.dtype) for name, g in zip(state.place, found, strict=True)}
    (beta1, beta2), eps = run.optimizer.defaults["betas"], run.optimizer.defaults["eps"]
    rate, (c1, c2) = run.recipe.rate(step), (1 - beta ** (step + 1) for beta in (beta1, beta2))
    first = {name: beta1 * state.first[name] + (1 - beta1) * g for name, g in gradients.items()}
    second = {name: beta2 * state.second[name] + (1 - beta2) * g.square() for name, g in gradients.items()}
    place = {}
    for name, p in state.place.items():
        decay = run.recipe.weight_decay if p.dim() >= 2 else 0.0
        place[name] = (1 - rate * decay) * p - rate / c1 * first[name] / (_root(second[name] / c2) + eps)
    return State(place, first, second)


def _root(squares: torch.Tensor) -> torch.Tensor:
    """The square root, with a derivative of 0 at 0: of parameters that no row has moved yet, such as embeddings."""
    moved = squares > 0
    return torch.where(moved, squares, 1.0).sqrt() * moved


def _pulled(after: Tensors, given: Tensors, adjoint: Tensors) -> Tensors:
    """The products of k adjoints [k, ...] of what came after with its derivative by what was given: [k, ...] of each."""
    options = {"retain_graph": True, "materialize_grads": True, "allow_unused": True}
    try:
        if len(adjoint[0]) > 1:
            return torch.autograd.grad(after, given, adjoint, is_grads_batched=True, **options)
        return tuple(one[None] for one in torch.autograd.grad(after, given, [one[0] for one in adjoint], **options))
    except RuntimeError as error:
        if "is not implemented" in str(error):
            raise LlmattrError(
                "magic differentiates every step twice, and this model has an operation that knows no second derivative: take "
                "in-run-shapley"
            ) from error
        raise


def _moving(run: Training) -> Parameters:
    return {name: p for name, p in run.model.named_parameters() if p.requires_grad}


def _zeros(place: Parameters) -> Parameters:
    return {name: torch.zeros_like(tensor) for name, tensor in place.items()}
