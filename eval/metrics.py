"""How near two score matrices [t, n] are: t queries, n rows, higher = the row supports the query more."""

import numpy as np
from jaxtyping import Float, Int


def spearman(one: Float[np.ndarray, "t n"], other: Float[np.ndarray, "t n"]) -> float:
    """Rank correlation over all rows, the mean over the queries."""
    from scipy.stats import rankdata

    ranks = [rankdata(scores, axis=1) for scores in (one, other)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    lengths = [np.linalg.norm(rank, axis=1) for rank in centred]
    return float(((centred[0] * centred[1]).sum(axis=1) / (lengths[0] * lengths[1])).mean())


def highest(scores: Float[np.ndarray, "t n"], k: int = 10) -> Int[np.ndarray, "t k"]:
    """The rows with the k highest scores."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def overlap(one: Float[np.ndarray, "t n"], other: Float[np.ndarray, "t n"], k: int = 10) -> float:
    """The share of the k highest that both have, the mean over the queries."""
    pairs = zip(highest(one, k), highest(other, k), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def own_topic(
    scores: Float[np.ndarray, "t n"], queries: Int[np.ndarray, " t"], rows: Int[np.ndarray, " n"], k: int = 10
) -> float:
    """The share of the k highest that are of the query's own topic, the mean over the queries."""
    return float((rows[highest(scores, k)] == queries[:, None]).mean())
