"""Beta Shapley: Shapley's value with more mass on small sets of others, or on large ones; every mask serves every source."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number, note
from llmattr.surrogate.linear import mask_folds, ridge_model
from llmattr.surrogate.sampling import ENOUGH, Column, Estimate, Masks, ask_once, assembled, columns_of
from llmattr.surrogate.semivalues import Sizes, beta_sizes, enumerated, judged_by, level


def beta_shapley(
    ablation: Ablation, n_ablations: int = 256, alpha: float = 16.0, beta: float = 1.0, seed: int = 0
) -> Attribution:
    """Beta(alpha, beta) Shapley values: `sum_k p_k * mean over sets S of k others of (f(S and i) - f(S))`, p = `beta_sizes`.

    Beta(1, 1) is Shapley's; a large alpha makes small sets count, where an effect stands out most (16, 1 is Kwon and Zou's own
    choice, 2022, arXiv 2110.14049), a large beta large ones. The values do not add up to f(all) - f(none) but for (1, 1).
    `baseline` is right on average where a share ~ Beta(beta, alpha) of the sources is kept.

    Exact where 2^n <= `n_ablations`. Else sizes of masks are drawn with the shares of least variance (a size for whose masks
    its share suffices is taken whole), and a value is its ridge weight, plus the weighted sum of what ridge fits leave that did
    not see the mask: without bias, and exact where sources only add (Witter et al. 2025, arXiv 2506.11849). stderr: from
    the spread of the terms of this sum; nan where fewer than 4 are drawn.
    """
    n = len(ablation.sources)
    check_number("n_ablations", n_ablations, 4, whole=True)
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 < value < np.inf:
            raise LlmattrError(f"{name} must be a number above 0, not {value!r}")
    check_number("seed", seed, 0, 2**32, whole=True)
    method = {"name": "beta-shapley", "n_ablations": n_ablations, "alpha": alpha, "beta": beta}
    sizes, law = beta_sizes(n, alpha, beta), beta_sizes(n + 1, alpha, beta)
    if n < 31 and 2**n <= n_ablations:
        return enumerated(ablation, sizes, judged_by(law), method, seed)
    masks, stands, drawn = sized_masks(n_ablations, n, _shares(sizes), seed)
    outputs = ask_once(ablation, masks)
    if drawn.sum() < ENOUGH:
        note(f"{drawn.sum()} drawn ablations are too few for errors: without an error nothing is cited; take more")
    estimates = []
    for column in columns_of(outputs):
        values, stderr = _adjusted(masks, column, _coefficients(masks, sizes, stands), drawn)
        baseline = level(masks, column, values, law[masks.sum(axis=1)] * stands)
        estimates.append(Estimate(values, baseline, stderr))
    record = {"seed": seed, "n_ablations": len(np.unique(masks, axis=0)), "estimator": "sample"}
    return assembled(ablation, method, record, estimates)


def _shares(sizes: Sizes) -> Float[np.ndarray, " n_plus_1"]:
    """Of the masks, for each number of kept sources: in proportion to the root of the mean squared coefficient."""
    n = len(sizes)
    kept = np.arange(n + 1)
    squares = np.zeros(n + 1)
    squares[1:] += sizes**2 * n / kept[1:]
    squares[:-1] += sizes**2 * n / (n - kept[:-1])
    roots = np.maximum(np.sqrt(squares), 1e-9 * np.sqrt(squares.max()))  # any size may be drawn
    return roots / roots.sum()


def sized_masks(
    m: int, n: int, shares: Float[np.ndarray, " n_plus_1"], seed: int
) -> tuple[Masks, Column, Bool[np.ndarray, " m"]]:
    """Fewer than 2^n masks whose sizes have these shares: masks, what share of its size each stands for, which were drawn.

    Sizes are taken whole, the cheapest for its share first, while their share of the masks suffices; the others are drawn.
    """
    from scipy.special import comb

    counts: Any = comb(n, np.arange(n + 1))
    masks, stands, left = [], [], m
    order = np.argsort(np.log(counts) - np.log(shares), kind="stable").tolist()
    while counts[order[0]] <= min(left * shares[order[0]] / shares[order].sum(), left - 2):  # 2 drawn: else no error is known
        s = order.pop(0)
        masks += [np.isin(np.arange(n), chosen) for chosen in itertools.combinations(range(n), s)]
        stands += [1 / counts[s]] * int(counts[s])
        left -= int(counts[s])
    chances = np.where(np.isin(np.arange(n + 1), order), shares, 0.0)
    chances /= chances.sum()
    rng = np.random.default_rng(seed)
    drawn = rng.choice(n + 1, size=left, p=chances)
    whole = len(masks)
    masks += [np.isin(np.arange(n), rng.choice(n, size=s, replace=False)) for s in drawn]
    return np.array(masks), np.concatenate([stands, 1 / (left * chances[drawn])]), np.arange(m) >= whole


def _coefficients(masks: Masks, sizes: Sizes, stands: Column) -> Float[np.ndarray, "m n"]:
    """What each mask's output counts in each value: `n/s p_(s-1) stands` with i, `-n/(n-s) p_s stands` without."""
    n, kept = masks.shape[1], masks.sum(axis=1)
    gain = n / np.maximum(kept, 1) * sizes[np.maximum(kept, 1) - 1]
    loss = n / np.maximum(n - kept, 1) * sizes[np.minimum(kept, n - 1)]
    return stands[:, None] * np.where(masks, gain[:, None], -loss[:, None])


def _adjusted(
    masks: Masks, outputs: Column, coefficients: Float[np.ndarray, "m n"], drawn: Bool[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Values and errors: the mean ridge fit of the folds, and what it leaves of masks that it did not see."""
    folds, count = mask_folds(masks), drawn.sum()
    weights, expected, everywhere = np.zeros(masks.shape[1]), np.zeros(len(masks)), np.zeros(len(masks))
    for fold in np.unique(folds[drawn]):
        left = folds == fold
        model = ridge_model(masks[~left], outputs[~left], "auto")
        share = (left & drawn).sum() / count
        weights += share * model.weights
        everywhere += share * (model.intercept + masks @ model.weights)
        expected[left] = model.intercept + masks[left] @ model.weights
    terms = coefficients * (outputs - np.where(drawn, expected, everywhere))[:, None]
    stderr = terms[drawn].std(axis=0, ddof=1) * count**0.5
    return weights + terms.sum(axis=0), stderr if count >= ENOUGH else np.full_like(stderr, np.nan)
