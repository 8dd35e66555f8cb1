"""What makes and reads the rows of a checkpoint's index, loaded with its model."""

from pathlib import Path
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.training.contract import IndexMethod, ModelMethod, StreamMethod, UnrolledMethod, WholeMethod
from llmattr.training.gradients.layers import named_layers
from llmattr.training.gradients.moments import scales_in
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Projection
from llmattr.training.stream import Layered
from llmattr.training.vectors.contract import Vectors
from llmattr.training.vectors.plain import Encoded, HiddenStates, Nothing
from llmattr.training.vectors.projector import Projector, load_fitted


def load_vectors(method: ModelMethod, lm: LM, folder: Path, run: dict[str, Any]) -> Vectors:
    """What makes the rows of the index in this folder."""
    match method:
        case IndexMethod(vectors="gradients"):
            projection = Projection(**run["projection"])
            return Projector(lm, projection, named_layers(lm, run["layers"]), run["groups"], load_fitted(lm, folder))
        case IndexMethod():
            return plain_vectors(method, lm)
        case StreamMethod() | UnrolledMethod() | WholeMethod():
            return Nothing(load_fitted(lm, folder), {key: run[key] for key in ("layers", "groups") if key in run})


def plain_vectors(method: IndexMethod, lm: LM) -> Vectors:
    """Rows that nothing is fitted for; raises `LlmattrError` for a method that does not say of which layer or encoder."""
    match method:
        case IndexMethod(vectors="hidden states", layer=int(layer)):
            return HiddenStates(lm, layer)
        case IndexMethod(vectors="embeddings", encoder=str(encoder)):
            return Encoded(encoder)
        case IndexMethod(vectors="weighted hidden states", layer=int(layer)):
            return HiddenStates(lm, layer, weighted=True)
    raise LlmattrError(f"{method.name} has rows of {method.vectors}, and no field layer (an int) or encoder (a str) for them")


def layered(index: GradientIndex, lm: LM) -> Layered:
    """The model with its tracked layers and what was fitted for them."""
    run, fitted = index.run, load_fitted(lm, index.folder)
    return Layered(lm, named_layers(lm, run["layers"]), run["groups"], fitted, run["seed"], scales_in(fitted))
