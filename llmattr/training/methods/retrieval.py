"""What only compares rows with queries: hidden states, embeddings, and words (BM25)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.core.method import option
from llmattr.retrieval.bm25 import Weights, bm25_scores
from llmattr.training.index.search import Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.products import unit
from llmattr.training.projection import Measure, VectorKind


@dataclass(frozen=True)
class RepSim:
    """Cosine of mean hidden states of one layer: what the model itself finds alike; a strong, cheap baseline.

    Cost: an index of hidden states
    """

    name: ClassVar[str] = "rep-sim"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "hidden states"
    retrieves_itself: ClassVar[bool] = True
    layer: int = option(-1, "which layer's hidden states: -1 the last, 0 the embeddings", least=-1000)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return Weighed(unit(queries), cosine=True)


@dataclass(frozen=True)
class Rds:
    """Cosine of mean hidden states of the last layer in which the k-th token counts k times (RDS+, arXiv 2503.01807).

    To choose rows by it, queries take turns (`trace select`).

    Cost: an index of hidden states
    """

    name: ClassVar[str] = "rds"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "weighted hidden states"
    retrieves_itself: ClassVar[bool] = True
    layer: int = option(-1, "which layer's hidden states: -1 the last, 0 the embeddings", least=-1000)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return Weighed(unit(queries), cosine=True)


@dataclass(frozen=True)
class Embeddings:
    """Cosine of a sentence encoder's embeddings of the texts; the model that is traced is not asked.

    Cost: an index of embeddings
    """

    name: ClassVar[str] = "embeddings"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "embeddings"
    retrieves_itself: ClassVar[bool] = True
    encoder: str = option("minilm", "hub id or folder of a sentence encoder (means of tokens), or minilm (embedded)")

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return Weighed(unit(queries), cosine=True)


@dataclass(frozen=True)
class Bm25:
    """Okapi BM25 of the row's words for the query's, prompt and completion together (Robertson and Zaragoza 2009), by bm25s.

    Cost: what each word weighs in each row, on disk
    """

    name: ClassVar[str] = "bm25"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    k1: float = option(1.5, "how soon a repeated word stops adding")
    b: float = option(0.75, "how much long rows are held back", below=1.000001)
    idf: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = option("lucene", "the variant of the weights")

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Scores of every row's text for every query's."""
        return bm25_scores(rows, queries, self.k1, self.b, self.idf)

    def keep(self, rows: Iterable[str], folder: Path) -> None:
        """What each word weighs in each row."""
        Weights.of(rows, self.k1, self.b, self.idf).save(folder)

    def retrieve_kept(self, folder: Path, n: int, queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """The sum of what the query's words weigh."""
        return Weights.open(folder, n).scores(queries)
