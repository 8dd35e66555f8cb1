"""What only compares texts: words that source and target share (BM25), and meaning (embeddings)."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.context.contract import Method
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.retrieval.bm25 import bm25_scores

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


@dataclass(frozen=True)
class Bm25:
    """Okapi BM25 of the source's words for the target's (Robertson and Zaragoza 2009); the model is not asked.

    Cost: 0
    """

    name: ClassVar[str] = "bm25"
    family: ClassVar[str] = "corroborative"
    k1: float = option(1.5, "how soon a repeated word stops adding")
    b: float = option(0.75, "how much long sources are held back", below=1.000001)
    idf: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = option("lucene", "the variant of the weights")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores from 0 up, one row per target of the ablation, whose text is the query."""
        values = bm25_scores(ablation.sources.texts, ablation.targets.texts, self.k1, self.b, self.idf)
        return similarities(self, ablation, values, "BM25")


@dataclass(frozen=True)
class Embeddings:
    """Cosine of a sentence encoder's embeddings of source and target (Sentence-BERT, 2019); the model is not asked.

    Cost: 0
    """

    name: ClassVar[str] = "embeddings"
    family: ClassVar[str] = "corroborative"
    encoder: str = option("minilm", "hub id or folder of a sentence encoder (means of tokens), or minilm (embedded)")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores from -1 to 1, one row per target of the ablation."""
        from llmattr.retrieval.encoder import Encoder

        encoder = Encoder.load(self.encoder)

        def unit(texts: list[str]) -> np.ndarray:
            # One at a time, so that no text's last digits depend on the padding of others.
            vectors = np.concatenate([encoder.encode([text]) for text in texts]).astype(np.float64)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

        # Not a matrix product, whose rounding depends on how many targets there are.
        values = np.einsum("td,nd->tn", unit(list(ablation.targets.texts)), unit(list(ablation.sources.texts)))
        return similarities(self, ablation, values, "cosine")


def similarities(method: Method, ablation: "ContextAblation", values: Float[np.ndarray, "t n"], unit: str) -> Attribution:
    """The attribution that these similarities of the ablation's targets and sources make."""
    return Attribution(
        values=values,
        sources=ablation.sources,
        targets=dataclasses.replace(ablation.targets, measure="similarity"),
        unit=unit,
        method=describe(method),
        run=ablation.record(),
    )
