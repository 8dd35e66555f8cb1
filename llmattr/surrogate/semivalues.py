"""Semivalues: a source's mean marginal effect, weighted by how many others are there; closed forms over all coalitions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation, ask, every_mask, noise_of
from llmattr.core.attribution import Attribution
from llmattr.surrogate.sampling import Column, Estimate, Masks, assembled, columns_of

Sizes = Float[np.ndarray, " n"]  # masses of the sizes 0 .. n - 1 of the sets that a source is added to


def shapley_sizes(n: int) -> Sizes:
    """Shapley's masses of the sizes 0 .. n - 1: all equal."""
    return np.full(n, 1 / n)


def banzhaf_sizes(n: int, keep: float = 0.5) -> Sizes:
    """Banzhaf's masses: each other source is there with the chance `keep` (0.5; else the weighted Banzhaf value)."""
    from scipy.stats import binom

    return binom.pmf(np.arange(n), n - 1, keep)


def beta_sizes(n: int, alpha: float, beta: float) -> Sizes:
    """Beta Shapley's masses `C(n-1, k) B(k + beta, n - 1 - k + alpha) / B(alpha, beta)`; (1, 1) is Shapley's.

    Kwon and Zou 2022, arXiv 2110.14049, equation 3. A large alpha makes small sets count.
    """
    from scipy.stats import betabinom

    return betabinom.pmf(np.arange(n), n - 1, beta, alpha)


def semivalue(masks: Masks, outputs: Column, sizes: Sizes) -> Float[np.ndarray, " n"]:
    """The exact values from the outputs under every one of the 2^n masks, in any order."""
    return coefficients(masks, sizes).T @ outputs


def coefficients(masks: Masks, sizes: Sizes) -> Float[np.ndarray, "m n"]:
    """What each mask's output counts in each exact value."""
    from scipy.special import comb

    n = masks.shape[1]
    each = sizes / comb(n - 1, np.arange(n))  # of one set
    kept = masks.sum(axis=1)
    gain = np.where(kept > 0, each[np.maximum(kept, 1) - 1], 0.0)  # as the larger set
    loss = np.where(kept < n, each[np.minimum(kept, n - 1)], 0.0)
    return np.where(masks, gain[:, None], -loss[:, None])


# From all masks, a target's outputs and its values: what is left without any source, and the LDS where a fit is left out.
Judge = Callable[[Masks, Column, Float[np.ndarray, " n"]], tuple[float, float | None]]


def enumerated(ablation: Ablation, sizes: Sizes, judge: Judge, method: dict[str, Any], seed: int) -> Attribution:
    """The exact semivalue with these masses of sizes, from all 2^n masks."""
    masks = every_mask(len(ablation.sources))
    outputs = ask(ablation, masks)
    norms = np.linalg.norm(coefficients(masks, sizes), axis=0)
    estimates = []
    for column, noise in zip(columns_of(outputs), chance(ablation), strict=True):
        values = semivalue(masks, column, sizes)
        baseline, lds = judge(masks, column, values)
        estimates.append(Estimate(values, baseline, noise * norms, lds))
    return assembled(ablation, method, {"seed": seed, "n_ablations": len(masks), "estimator": "exact"}, estimates)


def judged_by(law: Float[np.ndarray, " n_plus_1"]) -> Judge:
    """The `level` where so many sources are kept with these chances; no LDS."""
    from scipy.special import comb

    def judge(masks: Masks, outputs: Column, values: Float[np.ndarray, " n"]) -> tuple[float, None]:
        of_one = law / comb(len(law) - 1, np.arange(len(law)))
        return level(masks, outputs, values, of_one[masks.sum(axis=1)]), None

    return judge


def level(masks: Masks, outputs: Column, values: Float[np.ndarray, " n"], weights: Column) -> float:
    """The baseline with which baseline and values are right on average over masks with these weights."""
    return float(np.average(outputs - masks @ values, weights=weights))


def chance(ablation: Ablation) -> Float[np.ndarray, " t"]:
    """The standard deviation of each target's output by chance, 0 without any."""
    noise = noise_of(ablation)
    return np.zeros(len(ablation.targets)) if noise is None else noise
