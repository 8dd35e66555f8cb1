"""Which layers of a model are tracked, and which of them read the same.

Parameters come in three groups: the *blocks* (every linear layer but the head; of an adapter its own), the *head* that makes
logits of the last hidden states, and the *embedding*, a linear layer of one-hot tokens. A head that is tied to the embedding is
tracked as what it does there: its own part of the gradient, not the sum of both. Where an adapter has one of these in its place
or layers around it, the group is the whole layer that runs there, and its own layers are of the blocks.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch.utils.hooks import RemovableHandle

from llmattr.errors import LlmattrError, check_choice
from llmattr.model.forward import evaluating, without_cache
from llmattr.model.lm import LM
from llmattr.training.projection import Parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Layers = dict[str, torch.nn.Module]  # the tracked layers by name
GROUPS = ("blocks", "head", "embedding")
SAVED = ".modules_to_save."  # in the names of what PEFT trains as a whole


def tracked_layers(lm: LM, parameters: Parameters = "blocks", pattern: str = "") -> Layers:
    """The layers of these groups of parameters; with a pattern, of all groups those whose name the expression finds.

    `parameters`: "auto" is the head, which foretells retraining best, and of an adapter what it trained.
    Raises `LlmattrError` for others, for a group that the model has not, and where no layer has such a name.
    """
    check_choice("parameters", parameters, get_args(Parameters))
    groups = _groups(lm, parameters)
    if not pattern:
        return {name: module for group in groups for name, module in _group(lm, group).items()}
    every = every_layer(lm)
    try:
        found = {name: module for name, module in every.items() if re.search(pattern, name)}
    except re.error as error:
        raise LlmattrError(f"modules {pattern!r} is no regular expression: {error}") from None
    if not found:
        raise LlmattrError(
            f"no layer has a name that {pattern!r} finds; there are: {', '.join(list(every)[:5]) or 'none at all'}"
        )
    return found


def every_layer(lm: LM) -> Layers:
    """The layers of all groups, of those that the model has."""
    return {name: module for group in GROUPS for name, module in _group(lm, group, optional=True).items()}


def _groups(lm: LM, parameters: Parameters) -> list[str]:
    """The groups by name, in their order; "auto" of an adapter are those that it trained."""
    if parameters == "auto":
        if not any("lora_" in name for name in lm.linears()):
            return ["head"]
        return ["blocks", *(group for group in GROUPS[1:] if any(SAVED in name for name in _group(lm, group, optional=True)))]
    return [name for name in GROUPS if parameters == "all" or name in parameters.split("+")]


def _group(lm: LM, group: str, optional: bool = False) -> Layers:
    """The layers of one group; of one that the model has not, none where that is `optional`."""
    found = linear_layers(lm) if group == "blocks" else _head(lm) if group == "head" else _embeddings(lm)
    if not found and not optional:
        raise LlmattrError(f"the model has no {group} that can be tracked: take other --parameters, of {', '.join(GROUPS)}")
    return found


def _head(lm: LM) -> Layers:
    """The head; of one with an adapter around it, or in its place, the layer of it that runs and is whole."""
    inside = _within(lm.model.get_output_embeddings())
    found = {name: module for name, module in lm.linears().items() if module in inside and "lora_" not in name}
    return found if len(found) == 1 else _run(lm, found)


def _embeddings(lm: LM) -> Layers:
    """The embedding; several where an encoder and a decoder read with the same one, each by its own name."""
    every = {name: module for name, module in lm.model.named_modules() if isinstance(module, torch.nn.Embedding)}
    inside = _within(lm.model.get_input_embeddings())
    given = {id(weight(module)) for module in every.values() if module in inside}
    same: Layers = {name: module for name, module in every.items() if id(weight(module)) in given}
    return same if len(same) == 1 else _run(lm, same)


def _within(module: torch.nn.Module | None) -> set[torch.nn.Module]:
    return set() if module is None else set(module.modules())


def _run(lm: LM, layers: Layers) -> Layers:
    """Those of the layers that a pass runs through."""
    ran: set[str] = set()

    def watch(name: str) -> Any:
        return lambda *_: ran.add(name)

    with watching(lm.model, [module.register_forward_hook(watch(name)) for name, module in layers.items()]):
        lm.model(**probe(lm.model))
    return {name: module for name, module in layers.items() if name in ran}


def linear_layers(lm: LM, pattern: str = "") -> Layers:
    """The linear layers of the blocks whose name the expression finds; of a PEFT model these are the adapter's own layers."""
    head, linears = lm.model.get_output_embeddings(), lm.linears()
    own = {name: module for name, module in linears.items() if "lora_" in name}
    reached = _reached(lm)
    found = {name: module for name, module in (own or linears).items() if module is not head and name in reached}
    return {name: module for name, module in found.items() if re.search(pattern, name)}


def group_of(lm: LM, layers: Layers) -> dict[str, str]:
    """Each layer's group of parameters; a tied head and embedding, where both are tracked, are one matrix and one group."""
    head, one = _head(lm), tied(layers)

    def group(name: str, module: torch.nn.Module) -> str:
        if name in one:
            return "tied"
        return "head" if name in head else "embedding" if isinstance(module, torch.nn.Embedding) else "blocks"

    return {name: group(name, module) for name, module in layers.items()}


def tied(layers: Layers) -> set[str]:
    """The layers that have an embedding's weight and share it: a head, the embedding of a decoder."""
    shared = {id(weight(module)) for module in layers.values() if isinstance(module, torch.nn.Embedding)}
    names = {name for name, module in layers.items() if id(weight(module)) in shared}
    return names if len(names) > 1 else set()


def vocabulary_sides(lm: LM, layers: Layers) -> set[str]:
    """The sides of layers ("layer/in", "layer/out") that are tokens: an embedding's input, and what makes logits."""
    words = {in_and_out(head)[1] for head in _head(lm).values()}
    logits = [name for name in within_head(lm, layers) if in_and_out(layers[name])[1] in words]
    ins = {f"{name}/in" for name, module in layers.items() if isinstance(module, torch.nn.Embedding)}
    return ins | {f"{name}/out" for name in logits}


def within_head(lm: LM, layers: Layers) -> list[str]:
    """Those of the layers that the head has, which is one itself or has an adapter's."""
    inside = _within(lm.model.get_output_embeddings())
    return [name for name, module in layers.items() if module in inside]


def _reached(lm: LM) -> set[str]:
    """The linear layers whose gradient comes from runs on [batch, tokens, width] alone, and comes at all.

    Some models (OPT) flatten batch and tokens: there the first example's gradient must lie in the first places. In others
    (experts) gradients cannot be told apart by example; some use a layer's weight alone.
    """
    given, runs = probe(lm.model), []
    (examples, tokens) = given["input_ids"].shape

    def watch(name: str) -> Any:
        def hook(_module: torch.nn.Module, inputs: tuple[Any, ...], output: object) -> torch.Tensor | None:
            if not isinstance(output, torch.Tensor) or not output.is_floating_point():
                return None
            output = output if output.requires_grad else output.requires_grad_(True).clone()
            runs.append((name, inputs[0], output))
            return output

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in lm.linears().items()]
    with watching(lm.model, handles), torch.enable_grad():
        first = lm.model(**given).logits[0].sum()
        gradients = torch.autograd.grad(first, [output for _, _, output in runs], allow_unused=True)
    fits = [
        (name, by_example(inputs, output, examples) or is_flat(output, gradient, examples * tokens, tokens))
        for (name, inputs, output), gradient in zip(runs, gradients, strict=True)
        if gradient is not None
    ]
    return {name for name, _ in fits} - {name for name, fit in fits if not fit}


def by_example(inputs: torch.Tensor, output: torch.Tensor, rows: int) -> bool:
    """Whether a layer went from [batch, tokens, width] to the same."""
    return output.dim() == 3 and len(output) == rows and output.shape[:2] == inputs.shape[:2]


def is_flat(output: torch.Tensor, gradient: torch.Tensor, places: int, tokens: int) -> bool:
    """Whether a layer went from [batch x tokens, width] to the same, the examples one after the other."""
    return output.dim() == 2 and len(output) == places and bool(gradient[:tokens].any()) and not gradient[tokens:].any()


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
    """A layer's input and output width; Conv1D and embeddings keep their weight the other way round."""
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
