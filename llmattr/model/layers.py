"""A model's layers with what stands in them, found by what happens in a pass and never by the model's name.

Attention is what transformers calls as such; its heads are read by the first matrix behind it. The feed-forward block is the
last part of a layer with matrices of its own; its neurons are read by the last of these.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Unpack

import torch

from llmattr.errors import LlmattrError
from llmattr.model.attention import Attended, AttentionOptions, attending, own_attention
from llmattr.model.contract import Weights
from llmattr.model.forward import TRIED, evaluating, vocabulary

Call = tuple[torch.nn.Module, int]  # a module that was called, and the width of what it read


class Layer(NamedTuple):
    """A layer; the matrix that reads its heads, and how many these are; the feed-forward block; what reads its neurons.

    `projection` is None of a layer without such attention, `down` None of a block of experts, whose neurons stand apart.
    """

    module: torch.nn.Module
    projection: torch.nn.Module | None
    heads: int
    block: torch.nn.Module | None
    down: torch.nn.Module | None
    neurons: int


def layers_of(lm: Weights) -> list[Layer]:
    """The layers of a causal model, from a pass over a few tokens; raises `LlmattrError` where they are not to be found."""
    calls: list[Call] = []
    attended: dict[torch.nn.Module, tuple[int, int]] = {}  # how many heads, and how many calls came before

    def attend(module: torch.nn.Module, query: torch.Tensor, *others: Any, **options: Unpack[AttentionOptions]) -> Attended:
        attended[module] = query.shape[1], len(calls)
        return own_attention(module, query, *others, **options)

    ids = torch.tensor([TRIED], device=lm.device) % vocabulary(lm)
    try:
        with evaluating(lm.model), torch.no_grad(), attending(lm, attend), _noting(lm.model, calls):
            lm.model(input_ids=ids)
    except LlmattrError:
        name = lm.name or type(lm.model).__name__
        raise LlmattrError(f"the attention of {name} cannot be reached, so its components cannot be told apart") from None
    return [_layer(module, calls, attended) for module in _stack(lm, attended.keys())]


@contextmanager
def _noting(model: torch.nn.Module, calls: list[Call]) -> Iterator[None]:
    """Within, every call of a part of the model is put into the list."""

    def called(module: torch.nn.Module, given: tuple[object, ...]) -> None:
        match given:
            case (torch.Tensor(shape=[*_, width]), *_):
                calls.append((module, width))
            case _:
                calls.append((module, 0))

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(called).remove)
        yield


def _stack(lm: Weights, attended: Collection[torch.nn.Module]) -> torch.nn.ModuleList:
    """The list of all layers, in some of which attention happens."""
    many = lm.model.config.get_text_config().num_hidden_layers
    for module in lm.model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == many and not set(attended).isdisjoint(module.modules()):
            return module
    raise LlmattrError(f"no list of {many} layers is found in {lm.name or type(lm.model).__name__}: its components are unknown")


def _layer(module: torch.nn.Module, calls: Sequence[Call], attended: Mapping[torch.nn.Module, tuple[int, int]]) -> Layer:
    """What of a layer was called, and when."""
    inside, projection, heads = set(module.modules()), None, 0
    for attention in attended.keys() & inside:
        heads, before = attended[attention]
        projection, _ = _first(calls[before:], _with_matrices(attention))
    blocks = {part for part in _with_matrices(module) if attended.keys().isdisjoint(part.modules())}
    block, _ = _first(calls[::-1], blocks)
    if block is None or _is_of_experts(block):
        return Layer(module, projection, heads, block, None, 0)
    down, neurons = _first(calls[::-1], _with_matrices(block) or {block})
    return Layer(module, projection, heads, block, down, neurons)


def _first(calls: Sequence[Call], among: Collection[torch.nn.Module]) -> tuple[torch.nn.Module | None, int]:
    return next((call for call in calls if call[0] in among), (None, 0))


def _with_matrices(module: torch.nn.Module) -> set[torch.nn.Module]:
    """Its parts that have any."""
    return {part for part in module.children() if any(parameter.ndim > 1 for parameter in part.parameters())}


def _is_of_experts(block: torch.nn.Module) -> bool:
    """Whether its matrices are stacked, or stand in a list of blocks."""
    stacked = any(parameter.ndim > 2 for parameter in block.parameters())
    return stacked or any(isinstance(part, torch.nn.ModuleList) for part in block.modules())
