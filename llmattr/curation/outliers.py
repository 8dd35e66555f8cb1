"""Rows that are unlike the others: much shorter or longer, or far from all of them in what they speak of."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.seeded import generator
from llmattr.curation.finding import Finding
from llmattr.curation.kept import Kept
from llmattr.retrieval.bm25 import terms

FEW = 20  # rows whose quartiles say nothing
FAR = 3.0  # distances between the quartiles that an outlier lies beyond one of them (Tukey 1977: "far out")
SPREAD = {"words": np.log(2) / FAR, "distance": 0.1 / FAR}  # of what lies closer together no row lies far out
DIMENSIONS = 64
SAMPLE = 4096  # rows that a row is compared with, at most
NEAREST = 10


def outliers(texts: Sequence[str], vectors: Float[np.ndarray, "n d"], kept: Kept) -> list[Finding]:
    """Rows whose number of words (its logarithm), or distance from the others, lies beyond Tukey's far fence.

    A fence is `FAR` times the distance of the quartiles beyond them; below 20 rows there are none.
    """
    if len(texts) < FEW:
        return []
    words = np.array([len(terms(text)) for text in texts])
    far = distances(vectors, kept)
    middle = np.quantile(words, [0.25, 0.75])
    usual = np.median(far)
    long, distant = _beyond(np.log1p(words), SPREAD["words"]), _beyond(far, SPREAD["distance"]) & (far > usual)
    found = []
    for row in np.flatnonzero(long | distant).tolist():
        said = [f"has {words[row]} words, half of the rows {middle[0]:.0f} to {middle[1]:.0f}"] * bool(long[row])
        said += [f"lies {far[row]:.2f} from its nearest, the median row {usual:.2f}"] * bool(distant[row])
        found.append(Finding("outliers", row, "; ".join(said)))
    return found


def word_vectors(texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """The texts' words, weighed by how rare they are (TF-IDF), along the directions that say most of all rows.

    Latent semantic analysis (Deerwester et al. 1990). A vector is as long as the share of its text that these directions
    have, at most 1; 0 of a text whose words no other text has.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    said = [terms(text) for text in texts]
    if len({word for words in said for word in words}) < 2:
        return np.zeros((len(texts), 1), dtype=np.float32)
    analyzer = list[str]  # the words as they are; pyright takes the default of an option for its type
    weighed = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True).fit_transform(said)  # pyright: ignore[reportArgumentType]
    dimensions = min(DIMENSIONS, min(weighed.shape) - 1)
    if dimensions < 1:
        return np.ones((len(texts), 1), dtype=np.float32)
    return TruncatedSVD(dimensions, n_iter=3, random_state=0).fit_transform(weighed).astype(np.float32)


def distances(vectors: Float[np.ndarray, "n d"], kept: Kept) -> Float[np.ndarray, " n"]:
    """`1 - ` the mean product of each vector with those of its 10 nearest, of 4,096 rows that are drawn where there are more.

    Few rows in place of all find outliers as well (Sugiyama and Borgwardt 2013, NeurIPS).
    """
    drawn = np.sort(generator(0, "outliers").permutation(len(vectors))[:SAMPLE])
    sample, nearest = vectors[drawn], min(NEAREST, len(drawn) - 1)

    def block(start: int, stop: int) -> np.ndarray:
        alike = vectors[start:stop] @ sample.T
        alike[drawn[None, :] == np.arange(start, stop)[:, None]] = -np.inf  # itself
        return 1 - np.partition(alike, -nearest, axis=1)[:, -nearest:].mean(axis=1)

    return kept.blocks("distances", len(vectors), block, "looking for outliers")


def _beyond(values: Float[np.ndarray, " n"], spread: float) -> Bool[np.ndarray, " n"]:
    low, high = np.quantile(values, [0.25, 0.75])
    fence = FAR * max(high - low, spread)
    return (values < low - fence) | (values > high + fence)
