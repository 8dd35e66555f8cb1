"""Which linear layers of a model are tracked, and which of them read the same."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.hooks import RemovableHandle

from llmattr.errors import LlmattrError
from llmattr.model.forward import evaluating, without_cache
from llmattr.model.lm import LM

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Layers = dict[str, torch.nn.Module]  # the tracked linear layers by name


def linear_layers(lm: LM, pattern: str = "") -> Layers:
    """The linear layers to track: those whose name the expression finds; without one all but the head.

    Of a PEFT model these are the adapter's own layers. Raises `LlmattrError` when there is none, with some names that exist.
    """
    head, linears = lm.model.get_output_embeddings(), lm.linears()
    own = {name: module for name, module in linears.items() if "lora_" in name}
    reached = _reached(lm)
    every = {name: module for name, module in (own or linears).items() if module is not head and name in reached}
    try:
        found = {name: module for name, module in every.items() if re.search(pattern, name)}
    except re.error as error:
        raise LlmattrError(f"modules {pattern!r} is no regular expression: {error}") from None
    if not found:
        some = ", ".join(list(every)[:5]) or "none at all"
        raise LlmattrError(f"no linear layer has a name that {pattern!r} finds; there are: {some} (the head is never tracked)")
    return found


def _reached(lm: LM) -> set[str]:
    """The linear layers whose gradient comes from runs on [batch, tokens, width] alone, and comes at all.

    Some models flatten batch and tokens, and their gradients cannot be told apart by example; some use a layer's weight alone.
    """
    given, runs = probe(lm.model), []

    def watch(name: str) -> Any:
        def hook(_module: torch.nn.Module, inputs: tuple[Any, ...], output: object) -> torch.Tensor | None:
            if not isinstance(output, torch.Tensor) or not output.is_floating_point():
                return None
            output = output if output.requires_grad else output.requires_grad_(True).clone()
            runs.append((name, by_example(inputs[0], output, len(given["input_ids"])), output))
            return output

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in lm.linears().items()]
    with watching(lm.model, handles), torch.enable_grad():
        total = lm.model(**given).logits.sum()
        gradients = torch.autograd.grad(total, [output for _, _, output in runs], allow_unused=True)
    fits = [(name, fit) for (name, fit, _), gradient in zip(runs, gradients, strict=True) if gradient is not None]
    return {name for name, _ in fits} - {name for name, fit in fits if not fit}


def by_example(inputs: torch.Tensor, output: torch.Tensor, rows: int) -> bool:
    """Whether a layer went from [batch, tokens, width] to the same."""
    return output.dim() == 3 and len(output) == rows and output.shape[:2] == inputs.shape[:2]


@contextmanager
def watching(model: torch.nn.Module, handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """A look at how a model is built, without gradients; the hooks are gone afterwards, whatever happens."""
    try:
        with evaluating(model), torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()


def probe(model: "PreTrainedModel") -> dict[str, Any]:
    """The inputs of a forward pass of two rows of three tokens, to see how a model is built."""
    ids = torch.tensor([[0, 1, 0], [1, 0, 1]], device=model.device)
    both = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    return {"input_ids": ids, **both, **without_cache(model)}


def weight(module: torch.nn.Module) -> torch.Tensor:
    """A linear layer's weight."""
    return module.get_parameter("weight")


def in_and_out(module: torch.nn.Module) -> tuple[int, int]:
    """A linear layer's input and output width; Conv1D keeps its weight the other way round."""
    one, two = weight(module).shape
    return (two, one) if isinstance(module, torch.nn.Linear) else (one, two)


def input_groups(lm: LM, layers: Layers) -> dict[str, str]:
    """For each layer the first layer that reads the same tensor in every run: q, k, v and gate, up share one input's basis."""
    given = probe(lm.model)
    read: dict[str, list[torch.Tensor]] = {name: [] for name in layers}

    def watch(name: str) -> Any:
        return lambda _module, inputs: read[name].append(inputs[0])

    with watching(lm.model, [module.register_forward_pre_hook(watch(name)) for name, module in layers.items()]):
        lm.model(**given)
    first: dict[tuple[int, ...], str] = {}
    return {name: first.setdefault(tuple(map(id, tensors)), name) for name, tensors in read.items()}
