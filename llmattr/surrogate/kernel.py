"""Shapley values as weighted least squares on masks and their opposites, the sum held exactly (KernelSHAP)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import Ablation, kernel_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import note
from llmattr.surrogate.sampling import ENOUGH, Column, Estimate, Masks, ask_once, assembled, columns_of, rank_correlation
from llmattr.surrogate.semivalues import chance

Chosen = Bool[np.ndarray, " m"]

BOOTSTRAPS = 100
FOLDS = 5


def kernel(ablation: Ablation, n_ablations: int, method: dict[str, Any], seed: int) -> Attribution:
    """Shapley values from so many masks, none and all among them: `sum of values = f(all) - f(none)`.

    Lundberg and Lee 2017, arXiv 1705.07874, theorem 2. stderr: by bootstrap over the pairs of masks that were drawn, and what
    chance in the outputs adds; nan where the masks do not determine the values.
    """
    n = len(ablation.sources)
    masks, weights, drawn = kernel_masks(n_ablations, n, seed)
    known = determined(masks, drawn)
    if not known:
        note_few(n_ablations, n)
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    every = np.concatenate([ends, masks])
    every_weight = np.concatenate([[0.0, 0.0], weights])
    couples = np.concatenate([[0, 0], np.arange(len(masks)) // 2])
    columns = columns_of(ask_once(ablation, every))
    rests = [column[2:] - column[0] - _size(masks) * (column[1] - column[0]) for column in columns]
    spreads = _spreads(masks, _resampled(weights, drawn, seed) if known else [], rests)
    matrix = _shares(masks, weights)
    norms = _fixed_norms(matrix, masks, drawn)
    estimates = []
    for column, rest, spread, noise in zip(columns, rests, spreads, chance(ablation), strict=True):
        values = matrix @ rest + (column[1] - column[0]) / n
        stderr = np.hypot(spread, noise * norms) if known else np.full(n, np.nan)
        lds = kernel_lds(every, column, every_weight, couples)
        estimates.append(Estimate(values, float(column[0]), stderr, lds))
    return assembled(ablation, method, {"seed": seed, "n_ablations": len(every), "estimator": "kernel"}, estimates)


def note_few(n_ablations: int, n: int) -> None:
    """Say that the errors of the Shapley values of n sources are not known."""
    note(
        f"{n_ablations} ablations are too few for errors of the Shapley values of {n} sources: without an error nothing is "
        f"cited; take {4 * n + 2} or more"
    )


def determined(masks: Masks, drawn: Chosen) -> bool:
    """Whether the pairs of masks say what every value is, and how far off it may be.

    A mask and its opposite see one direction of the n - 1 in which values differ: with fewer pairs the values are partly equal
    shares by assumption, and a bootstrap of few more than that is too narrow (with 1.25 n pairs one error in 30 to 10 is above
    two of those that are stated, with n pairs one in 3).
    """
    n, couples = masks.shape[1], len(masks) // 2
    if not drawn.any():
        if n < 2 or len(masks) < n - 1:  # fewer masks than directions; no masks at all have no rank in numpy 2.0
            return n < 2
        return bool(np.linalg.matrix_rank(masks - _size(masks)[:, None]) == n - 1)
    return couples >= 1.25 * n and int(drawn.sum()) // 2 >= ENOUGH


def _spreads(masks: Masks, resampled: list[Column], rests: list[Column]) -> Float[np.ndarray, "t n"]:
    """The deviation of each target's values over fits to resampled weights, one fit in memory at a time; 0 without any."""
    found = np.zeros((len(rests), len(resampled), masks.shape[1]))
    for b, weights in enumerate(resampled):
        rows = weights > 0
        matrix = _shares(masks[rows], weights[rows])
        for t, rest in enumerate(rests):
            found[t, b] = matrix @ rest[rows]
    return found.std(axis=1, ddof=1) if resampled else np.zeros((len(rests), masks.shape[1]))


def _fixed_norms(matrix: Float[np.ndarray, "n m"], masks: Masks, drawn: Chosen) -> Float[np.ndarray, " n"]:
    """How the noise of the masks that are not drawn (none, all, and whole sizes) adds up in each value."""
    share, size = 1 / masks.shape[1], _size(masks)
    none, everything = -matrix @ (1 - size) - share, -matrix @ size + share
    return np.sqrt(none**2 + everything**2 + (matrix[:, ~drawn] ** 2).sum(axis=1))


def _resampled(weights: Column, drawn: Chosen, seed: int) -> list[Column]:
    """Weights for bootstraps: the pairs that were drawn are drawn again, the others stay."""
    couples = np.flatnonzero(drawn[::2])
    if len(couples) == 0:
        return []
    rng, found = np.random.default_rng(seed), []
    for _ in range(BOOTSTRAPS):
        counts = np.where(drawn[::2], 0.0, 1.0)
        counts += np.bincount(rng.choice(couples, len(couples)), minlength=len(counts))
        found.append(weights * np.repeat(counts, 2))
    return found


def kernel_weights(masks: Masks) -> Column:
    """The Shapley kernel of each mask; 0 for none and all, whose outputs are met exactly."""
    from scipy.special import comb

    n, kept = masks.shape[1], masks.sum(axis=1)
    inside = (kept > 0) & (kept < n)
    size = np.where(inside, kept, 1)
    return np.where(inside, 1 / (comb(n, size) * size * np.maximum(n - size, 1)), 0.0)


def kernel_lds(masks: Masks, outputs: Column, weights: Column, couples: Int[np.ndarray, " m"]) -> float:
    """`heldout_lds` of the kernel's fits, which none and all are given to."""
    n = masks.shape[1]
    none, everything = outputs[masks.sum(axis=1) == 0][0], outputs[masks.all(axis=1)][0]
    rests = outputs - none - _size(masks) * (everything - none)

    def predict(seen: Chosen, left: Chosen) -> Float[np.ndarray, " k"]:
        return masks[left] @ (_shares(masks[seen], weights[seen]) @ rests[seen] + (everything - none) / n)

    return heldout_lds(predict, outputs, weights > 0, couples)


def linear_lds(masks: Masks, outputs: Column, couples: Int[np.ndarray, " m"]) -> float:
    """`heldout_lds` of least squares with an intercept."""

    def predict(seen: Chosen, left: Chosen) -> Float[np.ndarray, " k"]:
        x, y = masks[seen], outputs[seen]
        return (masks[left] - 0.5) @ np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(), rcond=1e-10)[0]

    return heldout_lds(predict, outputs, np.ones(len(masks), dtype=bool), couples)


def heldout_lds(
    predict: Callable[[Chosen, Chosen], Float[np.ndarray, " k"]],
    outputs: Column,
    inside: Chosen,
    couples: Int[np.ndarray, " m"],
) -> float:
    """The rank correlation of outputs with what fits expect that saw neither a mask nor its opposite, over those inside.

    `predict(seen, left)`: what a fit of the masks that were seen expects of those that were left out.
    """
    if inside.sum() < 2 * FOLDS:
        return float("nan")
    folds = np.random.default_rng(0).permutation(len(outputs))[couples] % FOLDS
    predicted = np.zeros(len(outputs))
    for fold in range(FOLDS):
        left = inside & (folds == fold)
        predicted[left] = predict(inside & (folds != fold), left)
    return rank_correlation(predicted[inside], outputs[inside])


def _size(masks: Masks) -> Column:
    return masks.mean(axis=1)


def _shares(masks: Masks, weights: Column) -> Float[np.ndarray, "n m"]:
    """The matrix P from `y - f(none) - size (f(all) - f(none))` to `values - (f(all) - f(none)) / n`, size = the share kept.

    Values with a given sum are their mean and a part that sums to 0; masks less their sizes see that part alone, so this is
    least squares without a constraint. Where masks are too few it is the solution nearest to equal shares.
    """
    x = masks - _size(masks)[:, None]
    root = np.sqrt(weights)
    return np.linalg.pinv(x * root[:, None], rcond=1e-10) * root
