"""Do the scores find the gold sources? Where scores are equal, the mean over all orders of the equal ones is given.

So a method that gives every source the same score gets what a random order gets in expectation, and the order of the sources
decides nothing. The means are exact (McSherry and Najork 2008, ECIR, who give them for precision, average precision and more).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import check_number
from llmattr.metrics.shapes import Gold, PerTarget, Scores


class Ranks(NamedTuple):
    """Of each rank 0..n-1: gold sources above its group of equal scores, the group's size and gold, and the place in it."""

    above: Float[np.ndarray, "t n"]
    size: Float[np.ndarray, "t n"]
    gold: Float[np.ndarray, "t n"]
    place: Int[np.ndarray, "t n"]  # from 0

    @property
    def chance(self) -> Float[np.ndarray, "t n"]:
        """The chance that a gold source has this rank."""
        return self.gold / self.size


def reciprocal_rank(values: Scores, gold: Gold) -> PerTarget:
    """1 / the rank of the first gold source, from 0 to 1; its mean over targets is the MRR. nan without gold.

    >>> gold = np.array([[False, True, False]])
    >>> reciprocal_rank(np.array([[3.0, 2.0, 1.0]]), gold).tolist(), reciprocal_rank(np.zeros((1, 3)), gold).round(12).tolist()
    ([0.5], [0.611111111111])
    """
    ranks = _ranks(values, gold)
    left = ranks.size - ranks.place
    # The chance of a gold source at this rank when none came before it.
    hazard = np.where(ranks.above > 0, 1.0, np.minimum(ranks.gold / left, 1.0))
    none_before = np.cumprod(np.insert(1 - hazard[:, :-1], 0, 1.0, axis=1), axis=1)
    return _defined((hazard * none_before / np.arange(1, values.shape[1] + 1)).sum(axis=1), gold)


def recall_at_k(values: Scores, gold: Gold, k: int) -> PerTarget:
    """The share of the gold sources that are among the k highest scores, from 0 to 1. nan without gold.

    >>> recall_at_k(np.array([[3.0, 2.0, 1.0]]), np.array([[True, False, True]]), 2).tolist()
    [0.5]
    """
    check_number("k", k, 1, whole=True)
    hits = _ranks(values, gold).chance[:, :k].sum(axis=1)
    return _defined(hits / np.maximum(gold.sum(axis=1), 1), gold)


def precision_at_k(values: Scores, gold: Gold, k: int) -> PerTarget:
    """The share of the k highest scores (of all, where n < k) that are gold, from 0 to 1. nan without gold."""
    check_number("k", k, 1, whole=True)
    return _defined(_ranks(values, gold).chance[:, :k].mean(axis=1), gold)


def average_precision(values: Scores, gold: Gold) -> PerTarget:
    """The mean, over the gold sources, of the precision down to each one's rank, from 0 to 1. nan without gold.

    Its mean over targets is the MAP. With equal scores (McSherry and Najork 2008): at place j of a group of s with r gold,
    below `above` gold ones, at rank p: `r/s * (above + 1 + j (r - 1) / (s - 1)) / (p + 1)`, j and p counted from 0.

    >>> average_precision(np.array([[3.0, 2.0, 1.0]]), np.array([[True, False, True]])).round(12).tolist()  # (1 + 2/3) / 2
    [0.833333333333]
    """
    ranks = _ranks(values, gold)
    before = ranks.place * np.maximum(ranks.gold - 1, 0) / np.maximum(ranks.size - 1, 1)
    precision = (ranks.above + 1 + before) / np.arange(1, values.shape[1] + 1)
    return _defined((ranks.chance * precision).sum(axis=1) / np.maximum(gold.sum(axis=1), 1), gold)


def roc_auc(values: Scores, gold: Gold) -> PerTarget:
    """The chance that a gold source has a higher score than another, equal scores counted half: the area under the ROC curve.

    `(sum of the gold sources' ranks - g (g + 1) / 2) / (g (n - g))`, ranks from 1 = lowest and shared by equal scores; from 0
    to 1, 1/2 = chance. nan where all sources are gold or none. How well self-influence finds mislabelled rows is
    `roc_auc(scores[None], mislabelled[None])`. Hanley and McNeil 1982, Radiology 143.

    >>> roc_auc(np.array([[3.0, 2.0, 1.0]]), np.array([[True, False, True]])).tolist()
    [0.5]
    """
    from scipy.stats import rankdata

    g = gold.sum(axis=1).astype(float)
    above = (rankdata(values, axis=1) * gold).sum(axis=1) - g * (g + 1) / 2
    pairs = g * (values.shape[1] - g)
    return above / np.where(pairs > 0, pairs, np.nan)


def _ranks(values: Scores, gold: Gold) -> Ranks:
    from scipy.stats import rankdata

    order = np.argsort(-values, axis=1, kind="stable")
    lowered = np.take_along_axis(-values, order, axis=1)
    first = rankdata(lowered, method="min", axis=1).astype(int) - 1
    stop = rankdata(lowered, method="max", axis=1).astype(int)
    hits = np.cumsum(np.take_along_axis(gold, order, axis=1), axis=1)
    hits = np.insert(hits, 0, 0, axis=1)
    above = np.take_along_axis(hits, first, axis=1)
    inside = np.take_along_axis(hits, stop, axis=1) - above
    place = np.arange(values.shape[1]) - first
    return Ranks(above.astype(float), (stop - first).astype(float), inside.astype(float), place)


def _defined(measure: PerTarget, gold: Gold) -> PerTarget:
    return np.where(gold.any(axis=1), measure, np.nan)
