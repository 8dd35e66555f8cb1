"""BM25: which rows share rare words with the query? It corroborates; the model is not asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.method import option
from llmattr.texts import bm25_scores


@dataclass(frozen=True)
class Bm25:
    """Okapi BM25 of the row's words for the query's, prompt and completion together (Robertson and Zaragoza 2009), by bm25s."""

    name: ClassVar[str] = "bm25"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "similarities"
    measure: ClassVar[str] = "loss"
    k1: float = option(1.5, "how soon a repeated word stops adding")
    b: float = option(0.75, "how much long rows are held back", below=1.000001)
    idf: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = option("lucene", "the variant of the weights")

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Scores of every row's text for every query's."""
        return bm25_scores(rows, queries, self.k1, self.b, self.idf)
