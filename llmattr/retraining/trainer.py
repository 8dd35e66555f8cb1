"""Training a causal language model again with a weight on every row; weight 0 = removed. One run after the other."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from transformers import PreTrainedModel

from llmattr.core.progress import progress
from llmattr.errors import LlmattrError
from llmattr.retraining.recipe import Recipe, check_weights, named_run
from llmattr.text.rows import Examples


def train(
    model: PreTrainedModel, examples: Examples, weights: Float[np.ndarray, " n"], seed: int, recipe: Recipe
) -> PreTrainedModel:
    """A new model, trained on the rows with these weights; the same arguments give the same bits.

    A step's loss is `sum_i w_i sum_k -log p(y_ik) / T` in nats, over the counted tokens y_ik of the batch's rows i; T is their
    number. The seed draws the order of the rows and, with `recipe.start` "random", the weights that training starts from. The
    given model is not changed; the new one is in float32 or better (`started`), so that training holds 16 bytes a parameter
    (weights, gradients and AdamW's two moments) beside the given model. Raises `LlmattrError` where the loss or what
    is learned is not finite.
    """
    check_weights(weights, len(examples))
    recipe = recipe.for_rows(len(examples))
    model = started(model, seed, recipe)
    parameters = dict(model.named_parameters())
    optimizer = adamw(parameters, recipe)
    for step, rows in enumerate(progress(recipe.batches(weights > 0, seed), "a model", "steps")):
        backward(model, examples, weights, rows, step=step, seed=seed)
        clip([p.grad for p in parameters.values() if p.grad is not None], recipe.clip, stacked=False)
        set_rate(optimizer, recipe.rate(step))
        optimizer.step()
        optimizer.zero_grad()
    check_learned({name: p[None] for name, p in parameters.items()}, weights[None], [seed])
    return model


def backward(
    model: PreTrainedModel,
    examples: Examples,
    weights: Float[np.ndarray, " n"],
    rows: Int[np.ndarray, " b"],
    *,
    step: int,
    seed: int,
) -> tuple[Int[torch.Tensor, "b s"], Bool[torch.Tensor, "b s"]]:
    """Add the gradient of a step's loss to the parameters' own; the tokens of its rows, and which of them count.

    Raises `LlmattrError`, which names the step and the run, where the loss is not finite.
    """
    ids, counted = padded([examples.ids[i] for i in rows], [examples.counted[i] for i in rows], model.device)
    loss = batch_loss(model(input_ids=ids, use_cache=False).logits, ids, counted, torch.from_numpy(weights[rows]))
    check_finite(torch.isfinite(loss)[None], f"the loss is not finite at step {step + 1}", weights[None], [seed])
    loss.backward()
    return ids, counted


def started(model: PreTrainedModel, seed: int, recipe: Recipe) -> PreTrainedModel:
    """A copy of the model as training starts from it, without dropout, in float32 or better whatever its own type is.

    A step of usual size is less than half of bfloat16's distance between numbers, so that most weights would stay as they are.
    """
    exact = torch.promote_types(model.dtype, torch.float32)
    if recipe.start == "given":
        return copy.deepcopy(model).to(exact).eval()  # pyright: ignore[reportArgumentType]: transformers wraps `to`
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: a GPU's goes on as the caller left it
        new = type(model)(copy.deepcopy(model.config))
        return new.to(model.device, exact).eval()  # pyright: ignore[reportArgumentType]


def padded(
    ids: Sequence[list[int]], counted: Sequence[np.ndarray], device: torch.device, length: int = 0
) -> tuple[Int[torch.Tensor, "b s"], Bool[torch.Tensor, "b s"]]:
    """Rows padded behind, at least to this length: what is before it does not see the padding, so no mask is needed."""
    length = max(length, *map(len, ids))
    made, counts = np.zeros((len(ids), length), dtype=np.int64), np.zeros((len(ids), length), dtype=bool)
    for row, (one, count) in enumerate(zip(ids, counted, strict=True)):
        made[row, : len(one)], counts[row, : len(one)] = one, count
    return torch.from_numpy(made).to(device), torch.from_numpy(counts).to(device)


def batch_loss(
    logits: Float[torch.Tensor, "b s v"],
    ids: Int[torch.Tensor, "b s"],
    counted: Bool[torch.Tensor, "b s"],
    weights: Float[torch.Tensor, " b"],
) -> Float[torch.Tensor, ""]:
    """The loss of `train` for one batch."""
    places = counted[:, 1:]
    chosen = logits[:, :-1][places]
    chosen = chosen.to(torch.promote_types(chosen.dtype, torch.float32))
    said = torch.nn.functional.cross_entropy(chosen, ids[:, 1:][places], reduction="none")
    each = weights.to(said)[:, None].expand(places.shape)[places]
    return (each * said).sum() / places.sum()


def adamw(parameters: Mapping[str, torch.Tensor], recipe: Recipe, stacked: bool = False) -> torch.optim.Optimizer:
    """AdamW; matrices decay, vectors do not. `stacked`: every tensor has one more dimension in front, of several models."""
    matrices = [p for p in parameters.values() if p.requires_grad and p.dim() - stacked >= 2]
    vectors = [p for p in parameters.values() if p.requires_grad and p.dim() - stacked < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.rate(0), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The step size of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(gradients: list[torch.Tensor], most: float, stacked: bool) -> None:
    """Shorten the gradient to this norm where it is longer, in place; that of each of several stacked models by itself."""
    if most == 0 or not gradients:
        return
    norms = [torch.linalg.vector_norm(g.flatten(1), dim=1) if stacked else torch.linalg.vector_norm(g)[None] for g in gradients]
    factor = (most / (torch.linalg.vector_norm(torch.stack(norms), dim=0) + 1e-6)).clamp(max=1.0)
    if (factor == 1).all():
        return
    for g in gradients:
        g.mul_(factor.to(g.dtype).view(-1, *[1] * (g.dim() - 1)) if stacked else factor[0].to(g.dtype))


def check_learned(parameters: dict[str, torch.Tensor], weights: Float[np.ndarray, "k n"], seeds: Sequence[int]) -> None:
    """Raise `LlmattrError` where a parameter of one of k stacked models is not finite."""
    for name, stack in parameters.items():
        finite = torch.isfinite(stack).flatten(1).all(1)
        check_finite(finite, f"training ended with a {name!r} that is not finite", weights, seeds)


def check_finite(
    finite: Bool[torch.Tensor, " k"], message: str, weights: Float[np.ndarray, "k n"], seeds: Sequence[int]
) -> None:
    """Raise `LlmattrError` unless this is true of every run; the message goes on with which run it was."""
    if not finite.all():
        k = int(finite.int().argmin())
        raise LlmattrError(f"{message}, {named_run(weights[k], seeds[k])}: take a smaller --learning-rate")
