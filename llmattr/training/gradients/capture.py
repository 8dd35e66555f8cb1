"""Per-example gradients of layers, from hooks: inputs A [b, s, i] and output gradients G [b, s, o].

The gradient of example b for a layer is `A[b].T @ G[b]` [i, o] (`torch.nn.Linear` keeps its transpose). Of a norm's weight or
bias A is 1, [b, 1, 1], and G the gradient itself, [b, 1, d]. Weights are frozen while this runs, so autograd forms no weight
gradient, not even for a head tied to the embeddings.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.utils.hooks import RemovableHandle

from llmattr.errors import LlmattrError
from llmattr.model.forward import evaluating
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.experts import unfused
from llmattr.training.gradients.layers import Layers, within_head
from llmattr.training.gradients.norms import Vector
from llmattr.training.gradients.passes import run_backward
from llmattr.training.gradients.recorders import ExactGradients, Passes, Recorder, not_finite
from llmattr.training.projection import Measure


class Run(Protocol):
    """Runs a batch forward and backward through a recorder, as `run_backward` does."""

    def __call__(
        self, examples: Examples, rows: Sequence[int], measure: Measure = "loss", seed: int = 0
    ) -> list[Float[np.ndarray, " r"]]:
        """The measure of each row's counted tokens."""
        ...


@contextmanager
def hooks(model: torch.nn.Module, layers: Layers, recorder: Recorder) -> Iterator[None]:
    """Record the layers' inputs and output gradients, with every weight of the model frozen."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    handles = [_hooked(name, module, recorder) for name, module in layers.items()]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with evaluating(model):
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for handle in handles:
            handle.remove()


def _hooked(name: str, module: torch.nn.Module, recorder: Recorder) -> RemovableHandle:
    if isinstance(module, Vector):
        return module.norm.register_forward_hook(_norm_hook(name, module, recorder), with_kwargs=True)
    return module.register_forward_hook(_forward_hook(name, recorder))


def _norm_hook(name: str, vector: Vector, recorder: Recorder) -> Any:
    def hook(
        _norm: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: torch.Tensor
    ) -> torch.Tensor | None:
        if not torch.is_grad_enabled():
            return None
        output = _in_graph(output)
        examples = recorder.examples if isinstance(recorder, Passes) else len(output)
        kept = recorder.keep(name, output.new_ones(examples, 1, 1))
        derivative = vector.derivative(given, named)

        def gradient(outputs: torch.Tensor) -> None:
            recorder.gradient(name, kept, vector.gradient(outputs.view(derivative.shape) * derivative, examples))

        _unchanged(output).register_hook(gradient)
        return output

    return hook


def _forward_hook(name: str, recorder: Recorder) -> Any:
    def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        if not torch.is_grad_enabled():
            return None
        flat = output.dim() == 2 and _is_flat(recorder, inputs[0], output)
        if output.dim() != 3 and not flat:  # as DoRA, which takes the norm of the weight that way, and no gradient of it
            if output.requires_grad:
                dimensions = output.dim()
                output.register_hook(lambda _: _refuse(name, dimensions))
            return None
        output = _in_graph(output)
        given = _one_hot(name, module, inputs[0], output) if isinstance(module, torch.nn.Embedding) else inputs[0].detach()
        # A hook must not hold its own tensor: the circle would keep every pass's graph until some later collection.
        version, shape = given._version, _by_example(recorder, output).shape if flat else output.shape
        kept = recorder.keep(name, _by_example(recorder, given) if flat else given)

        def gradient(outputs: torch.Tensor) -> None:
            if any(part is given for part in (kept if isinstance(kept, tuple) else (kept,))) and given._version != version:
                raise LlmattrError(f"layer {name!r} has its inputs changed in place after it ran: leave it out (modules)")
            recorder.gradient(name, kept, outputs.view(shape))

        _unchanged(output).register_hook(gradient)
        return output

    return hook


def _in_graph(output: torch.Tensor) -> torch.Tensor:
    """The output as a part of the graph, which starts here if nothing before it is tracked: no leaf, which a model could not
    change in place."""
    return output if output.requires_grad else output.requires_grad_(True).clone()


def _is_flat(recorder: Recorder, inputs: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether a layer works on [batch x tokens, width], as OPT's do, in a pass over a known number of examples."""
    examples = recorder.examples if isinstance(recorder, Passes) else 0
    return bool(examples) and inputs.dim() == 2 and len(inputs) == len(output) and len(output) % examples == 0


def _by_example(recorder: Recorder, rows: Float[torch.Tensor, "n d"]) -> Float[torch.Tensor, "b s d"]:
    assert isinstance(recorder, Passes)
    return rows.unflatten(0, (recorder.examples, -1))


def _one_hot(
    name: str, module: torch.nn.Embedding, tokens: Int[torch.Tensor, "b s"], output: Float[torch.Tensor, "b s d"]
) -> Float[torch.Tensor, "b s v"]:
    """Tokens as the inputs of a linear layer, which an embedding is of them; times the factor that some (Gemma's) have."""
    rows, said = module.weight.detach()[tokens], output.detach()
    factor = (said * rows).sum() / rows.square().sum().clamp(min=torch.finfo(rows.dtype).tiny)
    if not torch.allclose(said, factor * rows, rtol=0.02, atol=1e-3 * float(said.abs().max())):  # bfloat16 keeps 8 bits
        raise LlmattrError(f"the embedding {name!r} gives more than a row for each token: leave it out (parameters)")
    return torch.nn.functional.one_hot(tokens, module.num_embeddings).to(rows.dtype) * factor


def _unchanged(output: torch.Tensor) -> torch.Tensor:
    """What to hang a hook on that stays where a model changes the output in place: a view would get another history."""
    whole = output._base
    return output if whole is None or whole.numel() != output.numel() or not output.is_contiguous() else whole


def _refuse(name: str, dimensions: int) -> None:
    raise LlmattrError(
        f"layer {name!r} works on {dimensions} dimensions, not on [batch, tokens, width]: leave it out (modules)"
    )


@contextmanager
def capturing(lm: LM, layers: Layers, recorder: Recorder) -> Iterator[Run]:
    """Within, `run(examples, rows)` takes a batch through the model and the recorder, and raises for what is not finite."""
    passes = Passes(recorder)
    with_head = bool(within_head(lm, layers))

    def run(examples: Examples, rows: Sequence[int], measure: Measure = "loss", seed: int = 0) -> list[Float[np.ndarray, " r"]]:
        passes.examples = len(rows)
        values = run_backward(lm, examples, rows, measure, seed, with_head=with_head)
        passes.end(examples, rows)
        for row, value in zip(rows, values, strict=True):
            if not np.isfinite(value).all():
                raise not_finite(f"the {measure} of {examples.name(row)}")
        return values

    with unfused(lm.model, layers), hooks(lm.model, layers, passes):
        yield run


def record(
    lm: LM,
    examples: Examples,
    layers: Layers,
    recorder: Recorder,
    batches: Iterable[Sequence[int]],
    *,
    measure: Measure = "loss",
    seed: int = 0,
) -> None:
    """Run all batches through a recorder that adds up what it sees."""
    with capturing(lm, layers, recorder) as run:
        for batch in batches:
            run(examples, batch, measure, seed)


def exact_gradients(
    lm: LM, examples: Examples, layers: Layers, measure: Measure = "loss", batch: int = 8
) -> Float[torch.Tensor, "n d"]:
    """Every example's whole gradient [n, d] over the layers: n x d numbers in memory."""
    recorder, rows = ExactGradients(), []
    with capturing(lm, layers, recorder) as run:
        for start in range(0, len(examples), batch):
            run(examples, range(start, min(start + batch, len(examples))), measure)
            rows.append(recorder.take(list(layers)))
    return torch.cat(rows)
