"""A few tokens through a model, to see how it is built."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.hooks import RemovableHandle

from llmattr.model.forward import evaluating, without_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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


class Run(NamedTuple):
    """What a module was given and said in a pass over `probe`, and the gradient of the first example's logits by that."""

    name: str
    given: tuple[Any, ...]
    named: dict[str, Any]
    said: torch.Tensor
    gradient: torch.Tensor


def runs(model: "PreTrainedModel", modules: Mapping[str, torch.nn.Module]) -> list[Run]:
    """All runs of these modules that say one tensor of numbers on which the logits depend."""
    found: list[tuple[str, tuple[Any, ...], dict[str, Any], torch.Tensor]] = []

    def watch(name: str) -> Any:
        def hook(_module: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], said: object) -> torch.Tensor | None:
            if not isinstance(said, torch.Tensor) or not said.is_floating_point():
                return None
            said = said if said.requires_grad else said.requires_grad_(True).clone()
            found.append((name, given, named, said))
            return said

        return hook

    if not modules:
        return []
    inputs = probe(model)  # which may itself try the model
    handles = [module.register_forward_hook(watch(name), with_kwargs=True) for name, module in modules.items()]
    with watching(model, handles), torch.enable_grad():
        first = model(**inputs).logits[0].sum()
        gradients = torch.autograd.grad(first, [said for *_, said in found], allow_unused=True)
    pairs = zip(found, gradients, strict=True)
    return [Run(*one, gradient) for one, gradient in pairs if gradient is not None]


def always(fits: Iterable[tuple[str, bool]]) -> set[str]:
    """The names all of whose runs fit."""
    pairs = list(fits)
    return {name for name, _ in pairs} - {name for name, fit in pairs if not fit}
