"""Where in a model a dictionary of features is."""

from dataclasses import dataclass
from typing import Literal

Place = Literal["stream", "attention", "mlp"]  # what a layer hands on, and what its attention or its MLP adds to that


@dataclass(frozen=True)
class Hook:
    """Where in a model a dictionary is: behind which layer, from 0, or behind which part of it."""

    layer: int
    place: Place = "stream"
