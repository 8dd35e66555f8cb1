"""Semivalues: a source's mean marginal effect, weighted by how many others are there; closed forms over all coalitions."""

import numpy as np
from jaxtyping import Bool, Float

Masks = Bool[np.ndarray, "m n"]
Column = Float[np.ndarray, " m"]


def shapley_sizes(n: int) -> Float[np.ndarray, " n"]:
    """Shapley's masses of the sizes 0 .. n - 1: all equal."""
    return np.full(n, 1 / n)


def banzhaf_sizes(n: int, keep: float = 0.5) -> Float[np.ndarray, " n"]:
    """Banzhaf's masses: each other source is there with the chance `keep` (0.5; else the weighted Banzhaf value)."""
    from scipy.stats import binom

    return binom.pmf(np.arange(n), n - 1, keep)


def beta_sizes(n: int, alpha: float, beta: float) -> Float[np.ndarray, " n"]:
    """Beta Shapley's masses `C(n-1, k) B(k + beta, n - 1 - k + alpha) / B(alpha, beta)`; (1, 1) is Shapley's.

    Kwon and Zou 2022, arXiv 2110.14049, equation 3. A large alpha makes small sets count.
    """
    from scipy.stats import betabinom

    return betabinom.pmf(np.arange(n), n - 1, beta, alpha)


def semivalue(masks: Masks, outputs: Column, sizes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The exact values from the outputs under every one of the 2^n masks, in any order."""
    return coefficients(masks, sizes).T @ outputs


def coefficients(masks: Masks, sizes: Float[np.ndarray, " n"]) -> Float[np.ndarray, "m n"]:
    """What each mask's output counts in each exact value."""
    from scipy.special import comb

    n = masks.shape[1]
    each = sizes / comb(n - 1, np.arange(n))  # of one set
    kept = masks.sum(axis=1)
    gain = np.where(kept > 0, each[np.maximum(kept, 1) - 1], 0.0)  # as the larger set
    loss = np.where(kept < n, each[np.minimum(kept, n - 1)], 0.0)
    return np.where(masks, gain[:, None], -loss[:, None])
