"""A direction in hidden states as a question: a probe's, a feature's of a sparse autoencoder, a steering vector."""

import numpy as np
from jaxtyping import Float

from llmattr.errors import LlmattrError, check_number
from llmattr.training.contract import IndexMethod, TrainingMethod
from llmattr.training.index.store import GradientIndex

MEANING = "higher = the row's hidden states, on average, point more along the direction; the model was not asked what it says"


def checked_directions(
    index: GradientIndex, method: TrainingMethod, states: int, direction: object, layer: int | None
) -> tuple[IndexMethod, Float[np.ndarray, "t d"]]:
    """The directions [t, d] and the method that compares them, of an index of hidden states of this layer (of so many).

    Raises `LlmattrError` for an index of anything else, another layer, or what is no direction in that layer.
    """
    match method:
        case IndexMethod(vectors="hidden states", layer=int(own)):
            pass
        case _:
            raise LlmattrError(
                f"a direction is of hidden states, which {method.name} does not keep: build an index with rep-sim"
            )
    if layer is not None:
        check_number("layer", layer, -states, states, whole=True)
        if layer % states != own % states:
            there = f"the index has the hidden states of layer {own} ({own % states} of {states - 1})"
            raise LlmattrError(f"{there}, not of {layer}: build one with rep-sim --layer {layer}")
    found = np.atleast_2d(np.asarray(direction))
    if found.dtype.kind not in "fiu" or found.ndim != 2 or found.shape[1] != index.run["dim"]:
        raise LlmattrError(f"a direction must be an array of {index.run['dim']} numbers, or several of them, not {found.shape}")
    if not (np.isfinite(found).all() and found.any(axis=1).all()):
        raise LlmattrError("a direction must have finite numbers, and not all of them 0")
    return method, found.astype(np.float32)
