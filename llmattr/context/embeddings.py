"""Embeddings: which sources mean what the target means? It corroborates; the model is not asked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from llmattr.context.similarity import similarities
from llmattr.method import option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Embeddings:
    """Cosine of a sentence encoder's embeddings of source and target (Sentence-BERT, 2019); the model is not asked."""

    name: ClassVar[str] = "embeddings"
    family: ClassVar[str] = "corroborative"
    encoder: str = option("minilm", "hub id or folder of a sentence encoder (means of tokens), or minilm (embedded)")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores from -1 to 1, one row per target of the ablation."""
        from llmattr.encoder import Encoder

        encoder = Encoder.load(self.encoder)

        def unit(texts: list[str]) -> np.ndarray:
            # One at a time, so that no text's last digits depend on the padding of others.
            vectors = np.concatenate([encoder.encode([text]) for text in texts]).astype(np.float64)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

        # Not a matrix product, whose rounding depends on how many targets there are.
        values = np.einsum("td,nd->tn", unit(list(ablation.targets.texts)), unit(list(ablation.sources.texts)))
        return similarities(self, ablation, values, "cosine")
