"""Cosine of representations: the model's own hidden states, or a sentence encoder's embeddings. They corroborate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from llmattr.method import option
from llmattr.training.index import GradientIndex
from llmattr.training.search import Weighed
from llmattr.training.similarity import unit


@dataclass(frozen=True)
class RepSim:
    """Cosine of mean hidden states of one layer: what the model itself finds alike; a strong, cheap baseline."""

    name: ClassVar[str] = "rep-sim"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[str] = "loss"
    features: ClassVar[str] = "hidden states"
    layer: int = option(-1, "which layer's hidden states: -1 the last, 0 the embeddings", least=-1000)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return Weighed(unit(queries), cosine=True)


@dataclass(frozen=True)
class Embeddings:
    """Cosine of a sentence encoder's embeddings of the texts; the model that is traced is not asked."""

    name: ClassVar[str] = "embeddings"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[str] = "loss"
    features: ClassVar[str] = "embeddings"
    encoder: str = option("minilm", "hub id or folder of a sentence encoder (means of tokens), or minilm (embedded)")

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return Weighed(unit(queries), cosine=True)
