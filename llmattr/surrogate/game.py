"""Game-theoretic values: what a source adds, averaged over the sets of other sources that it could be added to.

`value_i = sum_k p_k * mean over sets S of k other sources of (f(S and i) - f(S))`, with a mass p_k for each size k < n:
equal masses are Shapley's value, a fair coin for each other source is Banzhaf's.
"""

from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from llmattr.ablation import Ablation, ask, noise_of, one_out_masks, random_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_choice, check_number
from llmattr.surrogate.kernel import kernel, kernel_lds, kernel_weights, linear_lds
from llmattr.surrogate.permutations import permutation
from llmattr.surrogate.regression import by_pairs
from llmattr.surrogate.sampling import (
    ENOUGH,
    PRECISION,
    Column,
    Count,
    Estimate,
    Masks,
    ask_once,
    assembled,
    attribution,
    columns_of,
    note_unknown,
    rank_correlation,
)
from llmattr.surrogate.semivalues import banzhaf_sizes, enumerated, shapley_sizes

ShapleyMethod = Literal["auto", "exact", "regression", "permutation", "kernel"]
BanzhafMethod = Literal["auto", "exact", "regression", "sample"]

FEW = 256  # ablations that are made where nothing else is said
MOST_EXACT = 20  # sources


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

    "exact": all 2^n masks. "regression": a linear fit, and what it leaves, from masks and their opposites (`by_pairs`).
    "permutation": what each source adds in random orders, each order also reversed (Castro et al. 2009; Mitchell et al. 2022,
    arXiv 2104.12199); with `truncate` > 0 an order ends once its output is that near to f(all), and the rest add nothing
    (Ghorbani and Zou 2019, arXiv 1904.02868), so the sum is off by up to `truncate`. "kernel": weighted least squares on
    `kernel_masks`, the sum held exactly (Lundberg and Lee 2017, arXiv 1705.07874). "auto": exact where 2^n <= `n_ablations`,
    else regression. `n_ablations` is the most distinct masks that are asked for (exact asks for all); "auto" is for
    permutations, which then go on until no standard error is above `tolerance` times the largest value, or to the `limit`:
    `run["stopped"]` says which. stderr: 0 for exact, by the terms of what a fit leaves for regression, over pairs of orders
    for permutation, by bootstrap over the drawn masks for kernel. LDS: on orders or masks left out.

    >>> from llmattr.ablation import from_function
    >>> gloves = from_function(lambda masks: ((masks[:, :1] | masks[:, 1:2]) & masks[:, 2:]).astype(float), 3)
    >>> shapley(gloves).values.round(12).tolist()  # two left gloves and a right one
    [[0.166666666667, 0.166666666667, 0.666666666667]]
    """
    check_choice("method", method, get_args(ShapleyMethod))
    check_number("n_ablations", n_ablations, 2, whole=True, words=["auto"])
    check_number("limit", limit, 2, whole=True)
    check_number("truncate", truncate, 0)
    check_number("tolerance", tolerance, 0)
    check_number("seed", seed, 0, 2**32, whole=True)
    n, open_end = len(ablation.sources), n_ablations == "auto"
    most: int = limit if n_ablations == "auto" else n_ablations
    record: dict[str, Any] = {"name": "shapley", "n_ablations": n_ablations, "method": method, "truncate": truncate}
    record |= {"limit": limit, "tolerance": tolerance} if open_end else {}
    if method == "auto":
        method = "exact" if n < 31 and 2**n <= (FEW if open_end else most) else "permutation" if open_end else "regression"
    if method == "exact":
        _refuse_many(n)
        return enumerated(ablation, shapley_sizes(n), _judge_shapley, record, seed)
    if method == "permutation":
        suffices = tolerance if open_end else None
        return permutation(ablation, most, record, tolerance=suffices, truncate=truncate, seed=seed)
    if open_end:
        raise LlmattrError(f"the {method} method needs a number of ablations; n_ablations='auto' is for permutations")
    if method == "kernel":
        return kernel(ablation, most, record, seed)
    return by_pairs(ablation, most, shapley_sizes(n), None, record, seed=seed)


def banzhaf(ablation: Ablation, n_ablations: int = 256, method: BanzhafMethod = "auto", seed: int = 0) -> Attribution:
    """Banzhaf values: what a source adds to a random half of the others, on average. `baseline` is that of the best linear fit.

    "exact": all 2^n masks. "regression": a linear fit, and what it leaves, from masks and their opposites (`by_pairs`).
    "sample": `mean(f with i) - mean(f without i)` over random masks, each of which serves every source
    (maximum sample reuse: Wang and Jia 2023, arXiv 2205.15466, equation 5), stderr from the spread of both means. "auto": exact
    where 2^n <= `n_ablations`, else regression.

    >>> from llmattr.ablation import from_function
    >>> most = from_function(lambda masks: (masks.sum(axis=1, keepdims=True) >= 2).astype(float), 3)  # a majority of three
    >>> banzhaf(most).values.round(12).tolist()
    [[0.5, 0.5, 0.5]]
    """
    check_choice("method", method, get_args(BanzhafMethod))
    check_number("n_ablations", n_ablations, 4, whole=True)
    n = len(ablation.sources)
    record = {"name": "banzhaf", "n_ablations": n_ablations, "method": method}
    if method == "exact" or (method == "auto" and n < 31 and 2**n <= n_ablations):
        _refuse_many(n)
        return enumerated(ablation, banzhaf_sizes(n), _judge_banzhaf, record, seed)
    if method != "sample":
        return by_pairs(ablation, n_ablations, banzhaf_sizes(n), banzhaf_sizes(n + 1), record, seed=seed)
    masks = random_masks(n_ablations, n, seed=seed)
    estimates = [_reuse(masks, column) for column in columns_of(ask_once(ablation, masks))]
    note_unknown(estimates)
    return assembled(ablation, record, {"seed": seed, "n_ablations": len(masks), "estimator": "sample"}, estimates)


def leave_one_out(ablation: Ablation, seed: int = 0) -> Attribution:
    """`values[t, i] = f_t(all) - f_t(all but i)`: what is lost when source i alone is removed. n + 1 ablations, exact.

    Two sources that say the same both score 0: either one suffices. `baseline` is `f(all) - sum of values`. stderr is that of a
    difference of two outputs where the ablation says how noisy they are (`Noisy`: retraining), else None.

    >>> from llmattr.ablation import from_function
    >>> leave_one_out(from_function(lambda masks: masks @ [[2.0], [-1.0]], 2)).values.tolist()
    [[2.0, -1.0]]
    """
    outputs = ask(ablation, one_out_masks(len(ablation.sources)))
    values = (outputs[0] - outputs[1:]).T
    baseline = outputs[0] - values.sum(axis=1)
    noise = noise_of(ablation)
    stderr = None if noise is None else np.repeat(2**0.5 * noise[:, None], values.shape[1], axis=1)
    return attribution(ablation, {"name": "leave-one-out"}, {"seed": seed}, values=values, baseline=baseline, stderr=stderr)


def _refuse_many(n: int) -> None:
    if n > MOST_EXACT:
        raise LlmattrError(f"exact values of {n} sources need 2^{n} ablations: sample them, or take fewer sources")


def _couples(masks: Masks) -> Int[np.ndarray, " m"]:
    """The number of each mask's couple, of all masks in their order: itself and its opposite."""
    rows = np.arange(len(masks))
    return np.minimum(rows, rows ^ (len(masks) - 1))


def _judge_shapley(masks: Masks, outputs: Column, values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    return float(outputs[0]), kernel_lds(masks, outputs, kernel_weights(masks), _couples(masks))


def _judge_banzhaf(masks: Masks, outputs: Column, values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    return float(outputs.mean() - values.sum() / 2), linear_lds(masks, outputs, _couples(masks))


def _reuse(masks: Masks, outputs: Column) -> Estimate:
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
    return Estimate(values, float(outputs.mean() - values.sum() / 2), stderr, rank_correlation(predicted, outputs))
