"""Few rows that stand for many, and what to label next."""

import heapq

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.progress import progress
from llmattr.errors import LlmattrError, check_number


def facility_location(vectors: Float[np.ndarray, "n d"], k: int) -> Int[np.ndarray, " k"]:
    """k rows, greedily, for which `sum_i max_j (x_i . x_j)` over the chosen j is high: each row has one that is alike.

    At least 1 - 1/e of the highest sum there is, where no product is negative (negative ones count as 0; Nemhauser, Wolsey,
    Fisher 1978); gains only fall, so that few are computed again (Minoux 1978).
    """
    check_number("k", k, 1, len(vectors) + 1, whole=True)
    best = np.zeros(len(vectors))
    heap = [(-gain, row) for row, gain in enumerate(_gains(vectors).tolist())]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < k:
        _, row = heapq.heappop(heap)
        alike = vectors @ vectors[row]
        gain = float(np.maximum(alike - best, 0.0).sum())
        if heap and gain < -heap[0][0]:
            heapq.heappush(heap, (-gain, row))
            continue
        chosen.append(row)
        best = np.maximum(best, alike)
    return np.array(chosen)


def k_center(
    vectors: Float[np.ndarray, "n d"], k: int, weights: Float[np.ndarray, " n"] | None = None
) -> Int[np.ndarray, " k"]:
    """k rows, each the farthest from those before: `max_i min_j ||x_i - x_j||` is at most twice the least (Gonzalez 1985).

    The first is the one with the highest weight, else the one nearest to the mean. `weights`: a row counts as farther away, so
    many times.
    """
    check_number("k", k, 1, len(vectors) + 1, whole=True)
    weights = np.ones(len(vectors)) if weights is None else weights
    toward = np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)
    chosen = [int(np.lexsort((toward, -weights))[0])]
    far = np.full(len(vectors), np.inf)
    while len(chosen) < k:
        far = np.minimum(far, np.linalg.norm(vectors - vectors[chosen[-1]], axis=1))
        score = far * weights
        score[chosen] = -np.inf
        chosen.append(int(score.argmax()))
    return np.array(chosen)


def label_next(uncertainty: Float[np.ndarray, " n"], vectors: Float[np.ndarray, "n d"], k: int) -> Int[np.ndarray, " k"]:
    """k rows of which the model is unsure and which are unlike each other: `k_center`, weighed by the uncertainty.

    Raises `LlmattrError` where no row is any less certain than another.
    """
    if np.ptp(uncertainty) == 0:
        raise LlmattrError("the model is as sure of every row as of every other: nothing tells what to label next")
    return k_center(vectors, k, uncertainty - uncertainty.min())


def _gains(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The sum over all rows of each one's products that are positive."""
    starts = range(0, len(vectors), 256)
    parts = progress(starts, "comparing rows", "times 256 rows")
    return np.concatenate([np.maximum(vectors[start : start + 256] @ vectors.T, 0.0).sum(axis=1) for start in parts])
