"""Rows that mean the same in other words, by a sentence encoder."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from llmattr.curation.duplicates import spare
from llmattr.curation.finding import Finding
from llmattr.curation.kept import Kept
from llmattr.curation.texts import Texts
from llmattr.retrieval.encoder import Encoder
from llmattr.retrieval.similarity import AT_ONCE

ALIKE = 0.95  # the cosine from which two rows are taken to mean the same


def embedded(texts: Sequence[str], encoder: str, kept: Kept) -> Float[np.ndarray, "n d"]:
    """A unit vector of each text, by a hub id, a folder or "minilm"; kept by `texts`' place among what is embedded."""
    loaded = Encoder.load(encoder)

    def block(start: int, stop: int) -> np.ndarray:
        order = sorted(range(start, stop), key=lambda row: len(texts[row]))  # alike lengths together: less padding
        parts = [order[i : i + AT_ONCE] for i in range(0, len(order), AT_ONCE)]
        vectors = np.concatenate([loaded.encode([texts[row] or " " for row in part]) for part in parts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[np.argsort(order)]

    return kept.blocks("embeddings", len(texts), block, "embedding")


def same_meaning(texts: Texts, whole: Float[np.ndarray, "n d"], answers: Float[np.ndarray, "n d"], kept: Kept) -> list[Finding]:
    """Rows whose whole and whose completion both have a cosine of 0.95 with those of a longer one, which stays (`spare`).

    SemDeDup (Abbas et al. 2023, arXiv 2303.09540) without its clusters: all pairs are compared. A question with another answer
    has another completion, however alike the two texts are.
    """
    n = len(texts)

    def block(start: int, stop: int) -> np.ndarray:
        alike = (whole[start:stop] @ whole.T >= ALIKE) & (answers[start:stop] @ answers.T >= ALIKE)
        rows, others = np.nonzero(alike)
        return np.stack([rows + start, others], axis=1)

    rows, others = kept.blocks("same meaning", n, block, "comparing meanings").T
    pairs = csr_array((np.ones(len(rows), dtype=bool), (rows, others)), shape=(n, n))
    alike = {*zip(rows.tolist(), others.tolist(), strict=True)}
    return spare("same-meaning", connected_components(pairs, directed=False)[1], texts.whole, lambda *both: both in alike)
