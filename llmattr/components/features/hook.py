"""Where in a model a dictionary of features is."""

from dataclasses import dataclass
from typing import Literal

Place = Literal["stream", "attention", "mlp"]  # what a layer hands on, and what its attention or its MLP adds to that


@dataclass(frozen=True)
class Hook:
    """Where in a model a dictionary is: behind which layer, from 0, or behind which part of it.

    `start`: the first token that it is of. Many models hold numbers at token 0 a thousand times as large as elsewhere, which
    all attention rests on; a dictionary that has not learnt them has nothing to say there, and leaves them as they are.
    """

    layer: int
    place: Place = "stream"
    start: int = 0
