"""What of a model is not tracked, by name: no score counts it."""

import re

import torch

from llmattr.errors import note
from llmattr.model.lm import LM
from llmattr.training.gradients.experts import unfused
from llmattr.training.gradients.layers import SAVED, Layers, group_of, tracked_layers, weight
from llmattr.training.gradients.norms import Vector
from llmattr.training.projection import Parameters

SHOWN = 4  # places that the note names
MOST = 0.5  # of the parameters: where the head and the embeddings are more, leaving them out is worth a note


def track(lm: LM, parameters: Parameters = "blocks", pattern: str = "") -> Layers:
    """The layers to track, as `tracked_layers` finds them, with a note of what else the caller will have expected.

    That is, where layers of the blocks are tracked, every other matrix of them, or that the pattern finds; of an adapter
    everything that was trained; and the head and the embeddings, where these are most of the model.
    """
    layers = tracked_layers(lm, parameters, pattern)
    groups = group_of(lm, {name: module for name, module in layers.items() if not isinstance(module, Vector)})
    if "blocks" not in groups.values():  # who asks for the ends or the norms alone has chosen
        return layers
    with unfused(lm.model):
        shares, expected = left_out(lm, layers), _expected(lm, layers, pattern)
    others = {} if pattern else {place: share for place, share in shares.items() if place not in expected and share >= 0.01}
    if expected or sum(others.values()) > MOST:
        _tell({place: shares[place] for place in shares if place in expected} | others)
    return layers


def left_out(lm: LM, layers: Layers) -> dict[str, float]:
    """The places of parameters that are not tracked, with * for numbers, and each one's share of all; large ones first.

    Of an adapter only its own parameters count, since nothing else was trained.
    """
    sizes: dict[str, int] = {}
    with unfused(lm.model):
        parameters, tracked = _trained(lm, layers), _weights(layers)
    for name, parameter in parameters.items():
        if id(parameter) not in tracked:
            sizes[_place(name, layers)] = sizes.get(_place(name, layers), 0) + parameter.numel()
    total = sum(parameter.numel() for parameter in parameters.values())
    return {place: round(size / total, 4) for place, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))}


def _expected(lm: LM, layers: Layers, pattern: str) -> set[str]:
    """The places, of those left out, of which nobody would think that they are."""
    head, adapter = lm.model.get_output_embeddings(), _adapter(layers)
    ends = [module for module in lm.model.modules() if module is head or isinstance(module, torch.nn.Embedding)]
    tracked = _weights(layers)
    known = {id(parameter) for module in ends for parameter in module.parameters()}
    return {
        _place(name, layers)
        for name, one in _trained(lm, layers).items()
        if re.search(pattern, name) and id(one) not in tracked and (adapter or (one.dim() > 1 and id(one) not in known))
    }


def _trained(lm: LM, layers: Layers) -> dict[str, torch.nn.Parameter]:
    """Every parameter; of an adapter those that it added, and those that were saved with it."""
    every = dict(lm.model.named_parameters())
    own = {name: one for name, one in every.items() if "lora_" in name or SAVED in name}
    return own if _adapter(layers) else every


def _adapter(layers: Layers) -> bool:
    return any("lora_" in name for name in layers)


def _weights(layers: Layers) -> set[int]:
    """The tracked weights; one that is tied has another name besides."""
    return {id(module.whole if isinstance(module, Vector) else weight(module)) for module in layers.values()}


def _place(name: str, layers: Layers) -> str:
    """The module of a parameter; of a tracked layer the parameter itself (its bias)."""
    module = name.rpartition(".")[0]
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name if module in layers else module)


def _tell(shares: dict[str, float]) -> None:
    said = {place: f"{share:.0%}" if share >= 0.01 else "under 1%" for place, share in list(shares.items())[:SHOWN]}
    some = [f"{place} ({share} of the parameters)" for place, share in said.items()]
    more = f" and {len(shares) - SHOWN} more, which run.json names" if len(shares) > SHOWN else ""
    note(f"not tracked, so that no score counts it: {', '.join(some)}{more}")
