"""How near two score matrices [t, n] are, in one number: the means over t queries of what `llmattr.metrics` gives for each."""

import numpy as np
from jaxtyping import Float, Int

from llmattr import metrics


def spearman(one: Float[np.ndarray, "t n"], other: Float[np.ndarray, "t n"]) -> float:
    """Rank correlation over all rows."""
    return float(metrics.spearman(one, other).mean())


def overlap(one: Float[np.ndarray, "t n"], other: Float[np.ndarray, "t n"], k: int = 10) -> float:
    """The share of the k highest that both have."""
    return float(metrics.top_k_overlap(one, other, k).mean())


def own_topic(
    scores: Float[np.ndarray, "t n"], queries: Int[np.ndarray, " t"], rows: Int[np.ndarray, " n"], k: int = 10
) -> float:
    """The share of the k highest that are of the query's own topic."""
    return float(metrics.precision_at_k(scores, rows == queries[:, None], k).mean())
