"""Whole gradients [t, d] as parts of layers [t, i, o], and back: layer after layer, each flattened."""

from collections.abc import Callable

import torch
from jaxtyping import Float

from llmattr.training.gradients.layers import Layers, in_and_out, weight

Transform = Callable[[str, torch.Tensor], torch.Tensor]  # of a layer's name and gradients [t, i, o], to the same shape
Parts = dict[str, torch.Tensor]  # of each layer [t, i, o]


def split(v: Float[torch.Tensor, "t d"], layers: Layers) -> Parts:
    """The layers' parts, views of v."""
    parts = v.split([weight(module).numel() for module in layers.values()], dim=1)
    return {name: part.unflatten(1, in_and_out(layers[name])) for name, part in zip(layers, parts, strict=True)}


def join(parts: Parts) -> Float[torch.Tensor, "t d"]:
    """The inverse of `split`."""
    return torch.cat([part.flatten(1) for part in parts.values()], dim=1)


def by_layer(transform: Transform, layers: Layers) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of every layer's gradient, as one of whole gradients [t, d]."""
    return lambda v: join({name: transform(name, part) for name, part in split(v, layers).items()})
