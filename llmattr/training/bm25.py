"""BM25: which rows share rare words with the query? It corroborates; the model is not asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import regex
from jaxtyping import Float

from llmattr.method import option


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
        import bm25s

        known = {word: number for number, word in enumerate(sorted({word for row in rows for word in words(row)}))}
        engine = bm25s.BM25(k1=self.k1, b=self.b, method=self.idf)
        engine.index(([[known[word] for word in words(row)] for row in rows], known), show_progress=False)
        asked: list[Any] = [[known[word] for word in words(query) if word in known] for query in queries]
        return np.stack([engine.get_scores(ids) if ids else np.zeros(len(rows)) for ids in asked]).astype(np.float64)


def words(text: str) -> list[str]:
    """Words and numbers, lower case, of any script; a script without spaces gives its single characters."""
    return regex.findall(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+", text.casefold(), flags=regex.V1)
