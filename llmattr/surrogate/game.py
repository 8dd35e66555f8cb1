"""Game-theoretic values: what a source adds, averaged over the sets of other sources that it could be added to.

`value_i = sum_k p_k * mean over sets S of k other sources of (f(S and i) - f(S))`, with a mass p_k for each size k < n:
equal masses are Shapley's value, a fair coin for each other source is Banzhaf's.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import Ablation, ask, every_mask, kernel_masks, random_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_choice, check_number, note
from llmattr.surrogate.drawing import PRECISION, Count
from llmattr.surrogate.errors import ENOUGH, note_unknown, rank_correlation
from llmattr.surrogate.parts import Part, ask_once, assembled, chance, columns_of
from llmattr.surrogate.permutations import permutation
from llmattr.surrogate.semivalues import Column, Masks, banzhaf_sizes, coefficients, semivalue, shapley_sizes

ShapleyMethod = Literal["auto", "exact", "permutation", "kernel"]
BanzhafMethod = Literal["auto", "exact", "sample"]

BOOTSTRAPS = 100
FOLDS = 5
FEW = 256  # ablations that are made where nothing else is said


def shapley(
    ablation: Ablation,
    n_ablations: Count = 256,
    method: ShapleyMethod = "auto",
    truncate: float = 0.0,
    seed: int = 0,
    *,
    limit: int = 4096,
    tolerance: float = PRECISION,
) -> Attribution:
    """Shapley values: `sum of values = f(all) - f(none)` for every method; `baseline` = f(none).

    "exact": all 2^n masks. "permutation": what each source adds in random orders, each order also reversed (Castro et al. 2009;
    Mitchell et al. 2022, arXiv 2104.12199); with `truncate` > 0 an order ends once its output is that near to f(all), and the
    rest add nothing (Ghorbani and Zou 2019, arXiv 1904.02868), so the sum is off by up to `truncate`. "kernel": weighted least
    squares on `kernel_masks`, the sum held exactly (Lundberg and Lee 2017, arXiv 1705.07874). "auto": exact where 2^n <=
    `n_ablations`, else kernel. `n_ablations` is the most distinct masks that are asked for (exact asks for all); "auto" is for
    permutations, which then go on until no standard error is above `tolerance` times the largest value, or to the `limit`:
    `run["stopped"]` says which. stderr: 0 for exact, over pairs of orders for permutation, by bootstrap over the drawn masks
    for kernel. LDS: on orders or masks left out.
    """
    check_choice("method", method, get_args(ShapleyMethod))
    check_number("n_ablations", n_ablations, 2, whole=True, words=["auto"])
    check_number("limit", limit, 2, whole=True)
    check_number("truncate", truncate, 0)
    check_number("tolerance", tolerance, 0)
    check_number("seed", seed, 0, 2**32, whole=True)
    n, open_end = len(ablation.sources), n_ablations == "auto"
    most: int = limit if n_ablations == "auto" else n_ablations
    options: dict[str, Any] = {"name": "shapley", "n_ablations": n_ablations, "method": method, "truncate": truncate}
    options |= {"limit": limit, "tolerance": tolerance} if open_end else {}
    if method == "auto":
        method = "exact" if n < 31 and 2**n <= (FEW if open_end else most) else "permutation" if open_end else "kernel"
    if method == "exact":
        return _exact(ablation, shapley_sizes(n), _kernel_weights, options, seed)
    if method == "permutation":
        return permutation(ablation, most, tolerance if open_end else None, truncate, options, seed)
    if open_end:
        raise LlmattrError("the kernel method needs a number of ablations; n_ablations='auto' is for permutations")
    return _kernel(ablation, most, options, seed)


def banzhaf(ablation: Ablation, n_ablations: int = 256, method: BanzhafMethod = "auto", seed: int = 0) -> Attribution:
    """Banzhaf values: what a source adds to a random half of the others, on average. `baseline` is that of the best linear fit.

    "exact": all 2^n masks. "sample": `mean(f with i) - mean(f without i)` over random masks, each of which serves every source
    (maximum sample reuse: Wang and Jia 2023, arXiv 2205.15466, equation 5), stderr from the spread of both means. "auto": exact
    where 2^n <= `n_ablations`.
    """
    check_choice("method", method, get_args(BanzhafMethod))
    check_number("n_ablations", n_ablations, 4, whole=True)
    n = len(ablation.sources)
    options = {"name": "banzhaf", "n_ablations": n_ablations, "method": method}
    if method == "exact" or (method == "auto" and n < 31 and 2**n <= n_ablations):
        return _exact(ablation, banzhaf_sizes(n), _equal_weights, options, seed)
    masks = random_masks(n_ablations, n, seed=seed)
    outputs = ask_once(ablation, masks)
    parts = [_reuse(masks, column) for column in columns_of(outputs)]
    note_unknown(np.array([part[2] for part in parts]))
    return assembled(ablation, options, seed, parts, len(masks), "sample")


def _exact(
    ablation: Ablation,
    sizes: Float[np.ndarray, " n"],
    weights_of: Callable[[Masks], Column | None],
    options: dict[str, Any],
    seed: int,
) -> Attribution:
    n = len(ablation.sources)
    if n > 20:
        raise LlmattrError(f"exact values of {n} sources need 2^{n} ablations: sample them, or take fewer sources")
    masks = every_mask(n)
    outputs = ask(ablation, masks)
    opposite = np.arange(len(masks)) ^ (len(masks) - 1)
    couples = np.minimum(np.arange(len(masks)), opposite)
    weights, norms = weights_of(masks), np.linalg.norm(coefficients(masks, sizes), axis=0)
    parts = []
    for column, noise in zip(columns_of(outputs), chance(ablation), strict=True):
        values = semivalue(masks, column, sizes)
        none = float(column[0]) if weights is not None else float(column.mean() - values.sum() / 2)
        lds = _heldout_lds(masks, column, weights, couples)
        parts.append((values, none, noise * norms, lds))
    return assembled(ablation, options, seed, parts, len(masks), "exact")


def _kernel_weights(masks: Masks) -> Column:
    """The Shapley kernel of each mask; 0 for none and all, whose outputs are met exactly."""
    from scipy.special import comb

    n, kept = masks.shape[1], masks.sum(axis=1)
    inside = (kept > 0) & (kept < n)
    size = np.where(inside, kept, 1)
    return np.where(inside, 1 / (comb(n, size) * size * np.maximum(n - size, 1)), 0.0)


def _equal_weights(masks: Masks) -> None:
    """Every mask weighs the same, and none is met exactly: Banzhaf's least squares."""
    return


def _heldout_lds(masks: Masks, outputs: Column, weights: Column | None, couples: Int[np.ndarray, " m"]) -> float:
    """The rank correlation of outputs with what fits expect that saw neither a mask nor its opposite, over the fitted masks.

    Without weights the fit is least squares with an intercept, else that of `_shares`, which none and all are given to.
    """
    folds = np.random.default_rng(0).permutation(len(masks))[couples] % FOLDS
    predicted = np.zeros(len(masks))
    inside = np.ones(len(masks), dtype=bool) if weights is None else weights > 0
    if inside.sum() < 2 * FOLDS:
        return float("nan")
    for fold in range(FOLDS):
        left, seen = inside & (folds == fold), inside & (folds != fold)
        if weights is None:
            x = masks[seen] - masks[seen].mean(axis=0)
            fit = np.linalg.lstsq(x, outputs[seen] - outputs[seen].mean(), rcond=1e-10)[0]
            predicted[left] = (masks[left] - 0.5) @ fit
        else:
            first, last = outputs[masks.sum(axis=1) == 0][0], outputs[masks.all(axis=1)][0]
            fit = _shares(masks[seen], weights[seen]) @ (outputs[seen] - first - _size(masks[seen]) * (last - first))
            predicted[left] = masks[left] @ (fit + (last - first) / masks.shape[1])
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


def _kernel(ablation: Ablation, n_ablations: int, options: dict[str, Any], seed: int) -> Attribution:
    n = len(ablation.sources)
    masks, weights, drawn = kernel_masks(n_ablations, n, seed)
    known = _determined(masks, drawn)
    if not known:
        note(
            f"{n_ablations} ablations are too few for errors of the Shapley values of {n} sources: without an error nothing is "
            f"cited; take {4 * n + 2} or more"
        )
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    outputs = ask_once(ablation, np.concatenate([ends, masks]))
    matrix = _shares(masks, weights)
    columns = columns_of(outputs)
    rests = [column[2:] - column[0] - _size(masks) * (column[1] - column[0]) for column in columns]
    spreads = _spreads(masks, _resampled(weights, drawn, seed) if known else [], rests)
    couples, norms = np.arange(len(masks)) // 2, _fixed_norms(matrix, masks, drawn)
    parts = []
    for column, rest, spread, noise in zip(columns, rests, spreads, chance(ablation), strict=True):
        none, swing = column[0], column[1] - column[0]
        values = matrix @ rest + swing / n
        stderr = np.hypot(spread, noise * norms) if known else np.full(n, np.nan)
        every = np.concatenate([ends, masks]), column, np.concatenate([[0.0, 0.0], weights])
        lds = _heldout_lds(*every, np.concatenate([[0, 0], couples]))
        parts.append((values, float(none), stderr, lds))
    return assembled(ablation, options, seed, parts, len(masks) + 2, "kernel")


def _determined(masks: Masks, drawn: Bool[np.ndarray, " m"]) -> bool:
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


def _fixed_norms(matrix: Float[np.ndarray, "n m"], masks: Masks, drawn: Bool[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """How the noise of the masks that are not drawn (none, all, and whole sizes) adds up in each value."""
    share, size = 1 / masks.shape[1], _size(masks)
    none, everything = -matrix @ (1 - size) - share, -matrix @ size + share
    return np.sqrt(none**2 + everything**2 + (matrix[:, ~drawn] ** 2).sum(axis=1))


def _resampled(weights: Column, drawn: Bool[np.ndarray, " m"], seed: int) -> list[Column]:
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


def _reuse(masks: Masks, outputs: Column) -> Part:
    """A source that was kept or removed fewer than 4 times has no error, fewer than 2 times no value either (0)."""
    with_, without = masks.sum(axis=0), (~masks).sum(axis=0)
    sums, squares = masks.T.astype(float) @ outputs, masks.T.astype(float) @ outputs**2
    mean_with = sums / np.maximum(with_, 1)
    mean_without = (outputs.sum() - sums) / np.maximum(without, 1)
    seen = (with_ > 1) & (without > 1)
    known = (with_ >= ENOUGH) & (without >= ENOUGH)
    values = np.where(seen, mean_with - mean_without, 0.0)
    spread = (squares - with_ * mean_with**2) / np.maximum(with_ - 1, 1) / np.maximum(with_, 1)
    spread += ((outputs**2).sum() - squares - without * mean_without**2) / np.maximum(without - 1, 1) / np.maximum(without, 1)
    stderr = np.where(known, np.sqrt(np.maximum(spread, 0)), np.nan)
    rest = (sums - masks * outputs[:, None]) / np.maximum(with_ - masks, 1)  # the means without each ablation in turn
    rest = rest - (outputs.sum() - sums - ~masks * outputs[:, None]) / np.maximum(without - ~masks, 1)
    predicted = ((masks - 0.5) * np.where(seen, rest, 0.0)).sum(axis=1)
    return values, float(outputs.mean() - values.sum() / 2), stderr, rank_correlation(predicted, outputs)
