"""In-run Data Shapley: what each row's gradient did to the queries in every step of one training run, to first order."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.core.progress import progress
from llmattr.errors import LlmattrError
from llmattr.retraining.methods.shared import built_in, summed
from llmattr.retraining.recipe import Recipe, check_weights
from llmattr.surrogate import UNITS

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation

Place = dict[str, Any]  # the parameters, each a tensor
Stack = dict[str, Any]  # gradients of several outputs or rows, each with one more dimension in front

TOGETHER = 10_000_000  # numbers in the gradients that are formed at once


@dataclass(frozen=True)
class InRunShapley:
    """In-run Data Shapley, first order (Wang et al. 2024, arXiv 2406.11011): one training run; what each row did in it.

    A step moves the parameters by a sum over the rows of its batch; a row's value is the sum over its steps of the gradient of
    the query's output times the row's part of the move, which is the Shapley value where outputs are linear in the parameters.
    The run is AdamW's own, to the bit: a part is the row's clipped gradient times AdamW's step sizes `rate / (sqrt(v) + eps)`
    with v as it is after the step, at most `cap` times that of the mean sqrt(v) of their tensor: where a batch's gradients
    cancel, v is next to nothing, and the large parts of single rows are noise that cancels too. What momentum carries over is
    counted at once, with the rates of the steps that it goes to, as if the query's gradient stayed as it is for these (some
    ten) steps. Weight decay belongs to no row. `baseline` is the output before training: baseline and values add up to about
    the output after it (`run["after"]`). Means over the replicates.

    `product` "cosine": in each step rows and queries are brought to unit length, in the metric of AdamW's step sizes, and the
    step counts by its rate, so that surprising rows do not win by their long gradients. That is no Shapley value and has no
    unit, but its order may foretell training without some rows better (`python -m eval facts`). `every`: the queries' gradients
    are taken anew only every so many steps, since with hundreds of queries most of the time goes into them; they are held in
    memory, a number for each query and parameter.
    """

    name: ClassVar[str] = "in-run-shapley"
    family: ClassVar[str] = "game-theoretic"
    cap: float = option(
        3.0, "a step size counts for at most so many times that of its tensor's mean gradient; 0: for all it is"
    )
    product: Literal["dot", "cosine"] = option("dot", "dot: nats, which add up; cosine: rows and queries at unit length")
    every: int = option(
        1, "steps between two looks at the queries' gradients; 1 is exact, 20 is faster for many queries", least=1
    )

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; errors over the replicates where there are several."""
        trainer, n, r = built_in(ablation, self.name), len(ablation.sources), ablation.replicates
        everything = np.ones(n, dtype=bool)
        weights, seeds = ablation.weights(everything), [ablation.seed_of(everything, k) for k in range(r)]
        runs = [in_run(trainer, weights, seed, self.cap, self.every, self.product) for seed in seeds]
        found, before, after = (np.array(part) for part in zip(*runs, strict=True))
        found, dot = summed(found, ablation.member, n), self.product == "dot"
        return Attribution(
            values=found.mean(axis=0),
            sources=ablation.sources,
            targets=ablation.targets if dot else dataclasses.replace(ablation.targets, measure="similarity"),
            unit=UNITS[ablation.targets.measure] if dot else "cosines of gradients times rates",
            method=describe(self),
            run={**ablation.record(), "seed": seed, "after": after.mean(axis=0).tolist()},
            stderr=found.std(axis=0, ddof=1) / r**0.5 if r > 1 else None,
            baseline=before.mean(axis=0) if dot else None,
        )


def in_run(
    trainer: Any, weights: Float[np.ndarray, " rows"], seed: int, cap: float = 0.0, every: int = 1, product: str = "dot"
) -> tuple[Float[np.ndarray, "t rows"], Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """The rows' values in one run, and the outputs before and after it. The run is that of `train` with these arguments."""
    import torch

    from llmattr.retraining.together import can_stack
    from llmattr.retraining.trainer import adamw, batch_loss, check_finite, clip, padded, set_rate, started

    check_weights(weights, len(trainer.rows))
    lm, rows = trainer.lm, trainer.rows
    recipe = trainer.recipe.for_rows(len(rows))
    model = started(lm.model, seed, recipe)
    before = trainer.measured(dataclasses.replace(lm, model=model))
    parameters = dict(model.named_parameters())
    optimizer, reach = adamw(parameters, recipe), _reach(recipe)
    stacked = can_stack(lm.model, trainer.longest)
    asked, looked = padded(trainer.queries.ids, trainer.queries.counted, model.device), []
    values = np.zeros((len(rows), len(before)))
    for step, batch in enumerate(progress(recipe.batches(weights > 0, seed), "a model", "steps")):
        ids, counted = padded([rows.ids[i] for i in batch], [rows.counted[i] for i in batch], model.device)
        loss = batch_loss(model(input_ids=ids, use_cache=False).logits, ids, counted, torch.from_numpy(weights[batch]))
        check_finite(torch.isfinite(loss)[None], f"the loss is not finite at step {step + 1}", weights[None], [seed])
        loss.backward()
        moving = {name: p for name, p in parameters.items() if p.grad is not None}
        length = _norm(moving)
        clip([p.grad for p in moving.values() if p.grad is not None], recipe.clip, stacked=False)
        shortened = _norm(moving) / length if length > 0 else 1.0
        place = {name: p.detach().clone() for name, p in moving.items()}
        set_rate(optimizer, recipe.rate(step))
        optimizer.step()
        optimizer.zero_grad()
        if step % every == 0:
            looked = list(_asked_gradients(trainer, model, place, *asked, stacked))
        gradients = _gradients(partial(_said, model), place, ids, counted, stacked)
        effects = first_order(looked, gradients, _scales(optimizer, moving, step, cap), product)
        if not (finite := np.isfinite(effects).all(axis=0)).all():
            raise LlmattrError(f"the gradient of row {batch[finite.argmin()]} is not finite at step {step + 1}: leave it out")
        share = reach[step] * (shortened / float(counted[:, 1:].sum()) if product == "dot" else 1.0)
        np.add.at(values, batch, share * weights[batch, None] * effects.T)
    return values.T, before, trainer.measured(dataclasses.replace(lm, model=model))


def first_order(asked: list[Stack], rows: Iterable[Stack], scales: Place, product: str = "dot") -> Float[np.ndarray, "t b"]:
    """`<gradient of output t, scales * gradient of row i>` for all outputs [t] and rows [b], given in stacks of some.

    "cosine": divided by both lengths, `sqrt(<g, scales * g>)`; 0 where one is 0.
    """
    columns, row_lengths = [], []
    for stack in rows:
        scaled = {name: (part * scales[name]).flatten(1) for name, part in stack.items()}
        columns.append([sum(part.flatten(1) @ scaled[name].T for name, part in one.items()) for one in asked])
        row_lengths.append(sum((part.flatten(1) * scaled[name]).sum(1) for name, part in stack.items()))
    found = np.concatenate([np.concatenate([_numpy(part) for part in column]) for column in columns], axis=1)
    if product == "dot":
        return found
    asked_lengths = [sum((part.square() * scales[name]).flatten(1).sum(1) for name, part in one.items()) for one in asked]
    across, down = (np.sqrt(np.concatenate([_numpy(part) for part in parts])) for parts in (row_lengths, asked_lengths))
    lengths = down[:, None] * across
    return found / np.where(lengths > 0, lengths, 1.0)


def _numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


def _asked_gradients(trainer: Any, model: Any, place: Place, ids: Any, counted: Any, stacked: bool) -> Iterable[Stack]:
    """Those of the outputs, some at a time; of their mean the one of all queries."""
    import torch

    def outputs(place: Place, *asked: Any) -> Any:
        return trainer_outputs(trainer, _said(model, place, *asked))

    if trainer.mean:
        whole = torch.func.grad(lambda place: outputs(place, ids, counted)[0])(place)
        return [{name: part[None] for name, part in whole.items()}]
    return _gradients(outputs, place, ids, counted, stacked)


def _gradients(value: Callable[..., Any], place: Place, ids: Any, counted: Any, stacked: bool) -> Iterator[Stack]:
    """The gradient of each row's value by itself; of models that can be stacked those of some rows at a time."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def one(place: Place, ids: Any, counted: Any, mask: Any = None) -> Any:
        return value(place, ids[None], counted[None], mask)[0]

    if not stacked:
        for row, counts in zip(ids, counted, strict=True):
            yield {name: part[None] for name, part in torch.func.grad(one)(place, row, counts).items()}
        return
    length, dtype = ids.shape[1], next(iter(place.values())).dtype
    causal = torch.full((length, length), torch.finfo(dtype).min, dtype=dtype, device=ids.device).triu(1)[None, None]
    each: Any = torch.func.vmap(torch.func.grad(one), (None, 0, 0, None))
    size = max(1, TOGETHER // sum(part.numel() for part in place.values()))
    for some, counts in zip(ids.split(size), counted.split(size), strict=True):
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels know no vmap
            yield each(place, some, counts, causal)  # with a mask of its own a model looks for no padding


def trainer_outputs(trainer: Any, sums: Any) -> Any:
    """What `CausalTrainer.values` does with each query's log-probability, in tensors."""
    import torch

    if trainer.measure == "logit":
        sums = sums - torch.log(-torch.expm1(torch.clamp(sums, max=-1e-30)))
    return sums.mean(0, keepdim=True) if trainer.mean else sums


def _said(model: Any, place: Place, ids: Any, counted: Any, mask: Any = None) -> Any:
    """The log-probability of each row's counted tokens, with these parameters [b]."""
    import torch

    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    logits = torch.func.functional_call(model, place, (), given).logits
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


def _scales(optimizer: Any, moving: Any, step: int, cap: float) -> Any:
    """AdamW's step size of each parameter after this step, for a rate of 1."""
    beta, eps, found = optimizer.defaults["betas"][1], optimizer.defaults["eps"], {}
    for name, p in moving.items():
        root = (optimizer.state[p]["exp_avg_sq"] / (1 - beta ** (step + 1))).sqrt() + eps
        found[name] = 1 / (root if cap == 0 else root.clamp(min=float(root.mean()) / cap))
    return found


def _norm(moving: Any) -> float:
    return float(sum(p.grad.double().square().sum() for p in moving.values())) ** 0.5
