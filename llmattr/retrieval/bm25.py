"""Texts compared by their words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import regex
from jaxtyping import Float

TERM = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+"  # a script without spaces gives single characters


def terms(text: str) -> list[str]:
    """Words and numbers, lower case, of any script; a script without spaces gives its single characters."""
    return regex.findall(TERM, text.casefold(), flags=regex.V1)


def bm25_scores(
    texts: Sequence[str], queries: Sequence[str], k1: float = 1.5, b: float = 0.75, idf: str = "lucene"
) -> Float[np.ndarray, "t n"]:
    """Okapi BM25 of every text's words for every query's (Robertson and Zaragoza 2009), by bm25s.

    `sum_w idf(w) f / (f + k1 (1 - b + b |text| / mean |text|))` over the query's words w, f = how often w stands in the text;
    0 where no word is shared. `idf` names one of bm25s's variants, of which some differ in more than the weights.
    """
    import bm25s

    known = {word: number for number, word in enumerate(sorted({word for text in texts for word in terms(text)}))}
    if not known:
        return np.zeros((len(queries), len(texts)))
    engine = bm25s.BM25(k1=k1, b=b, method=idf)
    engine.index(([[known[word] for word in terms(text)] for text in texts], known), show_progress=False)
    asked: list[Any] = [[known[word] for word in terms(query) if word in known] for query in queries]
    return np.stack([engine.get_scores(ids) if ids else np.zeros(len(texts)) for ids in asked]).astype(np.float64)
