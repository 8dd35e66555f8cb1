"""Texts compared by their words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import regex
from jaxtyping import Float

from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    import bm25s

TERM = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+"  # a script without spaces gives single characters


class Files(TypedDict):
    """Where bm25s writes what it has worked out."""

    data_name: str
    indices_name: str
    indptr_name: str
    vocab_name: str
    params_name: str
    nnoc_name: str


FILES: Files = {
    "data_name": "kept.weights.npy",
    "indices_name": "kept.rows.npy",
    "indptr_name": "kept.starts.npy",
    "vocab_name": "kept.words.json",
    "params_name": "kept.bm25.json",
    "nnoc_name": "kept.absent.npy",
}


def terms(text: str) -> list[str]:
    """Words and numbers, lower case, of any script; a script without spaces gives its single characters."""
    return regex.findall(TERM, text.casefold(), flags=regex.V1)


@dataclass(frozen=True, eq=False)
class Weights:
    """What each word of n texts weighs in each of them: worked out once, in memory or in a folder, and asked often."""

    engine: "bm25s.BM25 | None"  # None where no text has a word
    n: int

    @staticmethod
    def of(texts: Iterable[str], k1: float = 1.5, b: float = 0.75, idf: str = "lucene") -> "Weights":
        """Those of these texts, which are gone through once."""
        import bm25s

        known: dict[str, int] = {}
        numbers = [[known.setdefault(word, len(known)) for word in terms(text)] for text in texts]
        if not known:
            return Weights(None, len(numbers))
        engine = bm25s.BM25(k1=k1, b=b, method=idf)
        engine.index((numbers, known), show_progress=False)
        return Weights(engine, len(numbers))

    def save(self, folder: Path) -> None:
        """Write them where `open` finds them; raises `LlmattrError` where that cannot be done."""
        try:
            if self.engine is not None:
                self.engine.save(folder, **FILES)
        except OSError as error:
            raise LlmattrError(f"cannot write the words' weights into {str(folder)!r}: {error.strerror}") from error

    @staticmethod
    def open(folder: Path, n: int) -> "Weights":
        """What `save` wrote of n texts; the weights stay on disk, and only those of the words that are asked for are read."""
        import bm25s

        there = (folder / FILES["data_name"]).exists()
        return Weights(bm25s.BM25.load(folder, mmap=True, **FILES) if there else None, n)

    def scores(self, queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Every text's score for every query."""
        return np.stack([self._scores(query) for query in queries]).astype(np.float64)

    def _scores(self, query: str) -> Float[np.ndarray, " n"]:
        known = {} if self.engine is None else self.engine.vocab_dict
        asked: list[Any] = [known[word] for word in terms(query) if word in known]
        return self.engine.get_scores(asked) if self.engine and asked else np.zeros(self.n)


def bm25_scores(
    texts: Sequence[str], queries: Sequence[str], k1: float = 1.5, b: float = 0.75, idf: str = "lucene"
) -> Float[np.ndarray, "t n"]:
    """Okapi BM25 of every text's words for every query's (Robertson and Zaragoza 2009), by bm25s.

    `sum_w idf(w) f / (f + k1 (1 - b + b |text| / mean |text|))` over the query's words w, f = how often w stands in the text;
    0 where no word is shared. `idf` names one of bm25s's variants, of which some differ in more than the weights.
    """
    return Weights.of(texts, k1, b, idf).scores(queries)
