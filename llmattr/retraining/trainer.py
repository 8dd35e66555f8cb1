"""Training a causal language model again with a weight on every row; weight 0 = removed. One run after the other."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from transformers import PreTrainedModel

from llmattr.core.progress import progress
from llmattr.errors import LlmattrError
from llmattr.retraining.recipe import Recipe, check_weights, named_run
from llmattr.text.rows import Examples

Tokens = tuple[Int[torch.Tensor, "b s"], Bool[torch.Tensor, "b s"]]  # and which of them count


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
    run = Training.of(model, examples, weights, seed, recipe)
    for step in progress(range(len(run.batches)), "a model", "steps"):
        run.step(step)
    check_learned({name: p[None] for name, p in run.model.named_parameters()}, weights[None], [seed])
    return run.model


@dataclass(frozen=True, eq=False)
class Training:
    """A run of `train` as it goes on, step by step: the model and AdamW's state are as after the last step."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    examples: Examples
    weights: Float[np.ndarray, " n"]
    seed: int
    recipe: Recipe

    @staticmethod
    def of(
        model: PreTrainedModel, examples: Examples, weights: Float[np.ndarray, " n"], seed: int, recipe: Recipe
    ) -> "Training":
        """The run of `train` with these arguments, before its first step."""
        check_weights(weights, len(examples))
        recipe = recipe.for_rows(len(examples))
        model = started(model, seed, recipe)
        return Training(model, adamw(dict(model.named_parameters()), recipe), examples, weights, seed, recipe)

    @cached_property
    def batches(self) -> Int[np.ndarray, "steps b"]:
        """The rows of every step."""
        return self.recipe.batches(self.weights > 0, self.seed)

    def tokens(self, step: int) -> Tokens:
        """Those of the rows of a step, and which of them count."""
        ids, counted = ([part[i] for i in self.batches[step]] for part in (self.examples.ids, self.examples.counted))
        return padded(ids, counted, self.model.device)

    def step(self, step: int) -> None:
        """Take this step, counted from 0."""
        self.backward(step)
        clip([p.grad for p in self.model.parameters() if p.grad is not None], self.recipe.clip, stacked=False)
        self.update(step)

    def backward(self, step: int) -> Tokens:
        """Add the gradient of a step's loss to the parameters' own; the tokens of its rows.

        Raises `LlmattrError`, which names the step and the run, where the loss is not finite.
        """
        ids, counted = self.tokens(step)
        weights = torch.from_numpy(self.weights[self.batches[step]])
        loss = batch_loss(self.model(input_ids=ids, use_cache=False).logits, ids, counted, weights)
        message = f"the loss is not finite at step {step + 1}"
        check_finite(torch.isfinite(loss)[None], message, self.weights[None], [self.seed])
        loss.backward()
        return ids, counted

    def update(self, step: int) -> None:
        """Move the parameters by their gradients, which go."""
        set_rate(self.optimizer, self.recipe.rate(step))
        self.optimizer.step()
        self.optimizer.zero_grad()


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


def padded(ids: Sequence[list[int]], counted: Sequence[np.ndarray], device: torch.device, length: int = 0) -> Tokens:
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
    if not matrices and not vectors:
        raise LlmattrError(
            "no weight of the model can be trained (an adapter is loaded with all of them frozen): merge the adapter into its "
            "model first (merge_and_unload), or take the model without it"
        )
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.rate(0), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The step size of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(gradients: list[torch.Tensor], most: float, stacked: bool) -> None:
    """Shorten the gradient to this norm where it is longer, in place; that of each of several stacked models by itself."""
    if most == 0 or not gradients:
        return
    factor = shortening(gradients, most, stacked)
    if (factor == 1).all():
        return
    for g in gradients:
        g.mul_(factor.to(g.dtype).view(-1, *[1] * (g.dim() - 1)) if stacked else factor[0].to(g.dtype))


def shortening(gradients: Sequence[torch.Tensor], most: float, stacked: bool) -> Float[torch.Tensor, " k"]:
    """By what `clip` multiplies the gradient of each model: `min(1, most / (|g| + 1e-6))`."""
    norms = [torch.linalg.vector_norm(g.flatten(1), dim=1) if stacked else torch.linalg.vector_norm(g)[None] for g in gradients]
    return (most / (torch.linalg.vector_norm(torch.stack(norms), dim=0) + 1e-6)).clamp(max=1.0)


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
