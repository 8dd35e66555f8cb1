"""The linear datamodeling score: do the scores predict ablations that they have not seen?

One convention holds wherever an LDS is given (here, the cross-validated one of a fit, its ceiling, the benchmarks): predictions
that are all equal foretell nothing and count 0, as in the field's code; outputs that never change leave nothing to foretell,
and their target is undefined: nan, left out of a mean.
"""

import numpy as np
from jaxtyping import Bool, Float

from llmattr.metrics.stats import foretold


def lds(
    values: Float[np.ndarray, "t n"], masks: Bool[np.ndarray, "m n"], outputs: Float[np.ndarray, "m t"]
) -> Float[np.ndarray, " t"]:
    """Rank correlation of each target's outputs under the masks with the sum of the scores that a mask keeps.

    `spearman(masks @ values[t], outputs[:, t])`: from -1 to 1, 1 = the order of the ablations is foretold, 0 = as random
    scores do in expectation. The masks must be others than those that a method was fitted on. Equal numbers share their
    average rank; 0 where all sums are equal (a score of 0 for every source, say), nan where all outputs are.
    ContextCite, arXiv 2409.00729; TRAK, arXiv 2303.14186, definition 2.3.

    >>> masks = np.array([[True, False], [False, True], [True, True]])
    >>> outputs = masks @ np.array([[2.0], [1.0]])
    >>> lds(np.array([[4.0, 2.0]]), masks, outputs).round(12).tolist(), lds(-outputs[:2].T, masks, outputs).round(12).tolist()
    ([1.0], [-1.0])
    """
    return foretold(values @ masks.T.astype(float), outputs.T)


def reliability(replicates: Float[np.ndarray, "m r t"], of: int | float = 1) -> Float[np.ndarray, " t"]:
    """The share of the outputs' variance over masks that is no noise, from r >= 2 noisy outputs of each mask.

    `f / (f + s / of)`, s = the mean variance within a mask, `f = max(variance of the masks' means - s / r, 0)`; of the mean of
    `of` outputs. From 0 (all noise) to 1. No prediction of such outputs correlates higher with them than its root: the ceiling
    of an LDS (up to the difference between ranks and numbers). nan where the outputs never change. The intraclass correlation
    of Shrout and Fleiss 1979.
    """
    r = replicates.shape[1]
    noise = replicates.var(axis=1, ddof=1).mean(axis=0)
    signal = np.maximum(replicates.mean(axis=1).var(axis=0, ddof=1) - noise / r, 0.0)
    total = signal + noise / of
    return np.where(total > 0, signal / np.where(total > 0, total, 1.0), np.nan)


def lds_ceiling(replicates: Float[np.ndarray, "m r t"], of: int | float = 1) -> Float[np.ndarray, " t"]:
    """The LDS that the noise between r >= 2 runs of each mask leaves to the best prediction of the mean of `of` runs.

    `sqrt(reliability)` of the ranks of all m r outputs of a target, so that a few masks far from the others (none kept, say)
    count no more than they do in the LDS. From 0 to 1; within .01 for normal outputs and noise. nan as for `reliability`.
    """
    from scipy.stats import rankdata

    m, r, t = replicates.shape
    ranks = rankdata(replicates.reshape(m * r, t), axis=0).reshape(m, r, t)
    return np.sqrt(reliability(ranks, of))
