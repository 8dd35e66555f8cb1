"""Which layers of a model are tracked, and which of them read the same.

Parameters come in four groups: the *blocks* (every linear layer but the head, and each expert's; of an adapter its own), the
*head* that makes logits of the last hidden states, the *embedding*, a linear layer of one-hot tokens, and the *norms* (their
weights and biases, with the biases of the blocks' linear layers; of an adapter the norms that it saved). A head that is tied to
the embedding is tracked as what it does there: its own part of the gradient, not the sum of both. Where an adapter has one of
these two in its place or layers around it, the group is the whole layer that runs there, and its own layers are of the blocks.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch

from llmattr.errors import LlmattrError, check_choice
from llmattr.model.lm import LM
from llmattr.training.gradients.experts import Expert, unfused
from llmattr.training.gradients.norms import Vector, norm_layers
from llmattr.training.gradients.probing import Run, always, probe, runs, watching
from llmattr.training.projection import Parameters

Layers = dict[str, torch.nn.Module]  # the tracked layers by name
GROUPS = ("blocks", "head", "embedding", "norms")
SAVED = ".modules_to_save."  # in the names of what PEFT trains as a whole


def tracked_layers(lm: LM, parameters: Parameters = "blocks", pattern: str = "") -> Layers:
    """The layers of these groups of parameters; with a pattern, of all groups those whose name the expression finds.

    A layer's name does not stand for its bias, which is a vector of its own: "c_proj.bias" finds these.

    `parameters`: "auto" is the head, which foretells retraining best, and of an adapter what it trained.
    Raises `LlmattrError` for others, for a group that the model has not, and where no layer has such a name.
    """
    check_choice("parameters", parameters, get_args(Parameters))
    groups = _groups(lm, parameters)
    if not pattern:
        parts = (_group(lm, group, optional=parameters == "all" and group == "norms") for group in groups)
        return {name: module for part in parts for name, module in part.items()}
    every = every_layer(lm)
    try:
        found = {name: module for name, module in every.items() if _finds(pattern, name)}
    except re.error as error:
        raise LlmattrError(f"modules {pattern!r} is no regular expression: {error}") from None
    if not found:
        raise LlmattrError(
            f"no layer has a name that {pattern!r} finds; there are: {', '.join(list(every)[:5]) or 'none at all'}"
        )
    return found


def _finds(pattern: str, name: str) -> bool:
    """Whether an expression finds a layer's name; of its bias only where it is the bias that it finds."""
    layer = name.removesuffix(".bias")
    return bool(re.search(pattern, name)) and (layer == name or not re.search(pattern, layer))


def named_layers(lm: LM, names: Sequence[str]) -> Layers:
    """The layers that were tracked by these names."""
    with unfused(lm.model):
        modules = dict(lm.model.named_modules())

    def layer(name: str) -> torch.nn.Module:
        norm, _, parameter = name.rpartition(".")
        return modules[name] if name in modules else Vector(modules[norm], parameter)

    return {name: layer(name) for name in names}


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
    found = {"blocks": linear_layers, "head": _head, "embedding": _embeddings, "norms": _norms}[group](lm)
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


def _norms(lm: LM) -> Layers:
    """The norms' parameters and the blocks' biases, but not those of experts; of an adapter the norms that it saved."""
    norms = norm_layers(lm)
    if any("lora_" in name for name in lm.linears()):
        return {name: module for name, module in norms.items() if SAVED in name}
    linears = {name: one for name, one in linear_layers(lm).items() if not isinstance(one, Expert)}
    return norms | {
        f"{name}.bias": Vector(one, "bias") for name, one in linears.items() if "bias" in dict(one.named_parameters())
    }


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
    with unfused(lm.model):
        head, linears, reached = lm.model.get_output_embeddings(), lm.linears(), _reached(lm)
    own = {name: module for name, module in linears.items() if "lora_" in name}
    found = {name: module for name, module in (own or linears).items() if module is not head and name in reached}
    return {name: module for name, module in found.items() if re.search(pattern, name)}


def group_of(lm: LM, layers: Layers) -> dict[str, str]:
    """Each layer's group of parameters; a tied head and embedding, where both are tracked, are one matrix and one group.

    Norms are of the blocks, in which they stand.
    """
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
    (experts that are no fused ones) gradients cannot be told apart by example; some use a layer's weight alone.
    """
    (examples, tokens) = probe(lm.model)["input_ids"].shape

    def fits(run: Run) -> bool:
        whole = by_example(run.given[0], run.said, examples)
        return whole or is_flat(run.said, run.gradient, examples * tokens, tokens)

    return always((run.name, fits(run)) for run in runs(lm.model, lm.linears()))


def by_example(inputs: torch.Tensor, output: torch.Tensor, rows: int) -> bool:
    """Whether a layer went from [batch, tokens, width] to the same."""
    return output.dim() == 3 and len(output) == rows and output.shape[:2] == inputs.shape[:2]


def is_flat(output: torch.Tensor, gradient: torch.Tensor, places: int, tokens: int) -> bool:
    """Whether a layer went from [batch x tokens, width] to the same, the examples one after the other."""
    return output.dim() == 2 and len(output) == places and bool(gradient[:tokens].any()) and not gradient[tokens:].any()


def weight(module: torch.nn.Module) -> torch.Tensor:
    """A linear layer's weight."""
    return module.get_parameter("weight")


def part_of(kept: Mapping[str, torch.Tensor], lm: LM, layers: Layers) -> dict[str, torch.Tensor]:
    """What of something that is kept for each parameter, by its name, is each layer's: as it has its weight."""
    names = {id(parameter): name for name, parameter in lm.model.named_parameters()}  # of a tied weight the embedding's

    def part(name: str, module: torch.nn.Module) -> torch.Tensor:
        match module:
            case Vector():
                return kept[name].view(1, -1)
            case Expert():
                whole, _, expert = name.rpartition(".")
                return module.part(kept[whole][int(expert)])
        return kept[names[id(weight(module))]]

    return {name: part(name, module) for name, module in layers.items()}


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

    handles = [module.register_forward_pre_hook(watch(name)) for name, module in layers.items()]
    with unfused(lm.model, layers), watching(lm.model, handles):
        lm.model(**given)
    first: dict[tuple[int, ...], str] = {}
    return {name: first.setdefault(tuple(map(id, tensors)), name) if tensors else name for name, tensors in read.items()}
