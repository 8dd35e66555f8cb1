"""Semivalues by a linear regression of the outputs, and the weighted sum of what it leaves: without bias, and less chance."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import Ablation
from llmattr.core.attribution import Attribution
from llmattr.surrogate.kernel import determined, note_few
from llmattr.surrogate.lasso_fit import lasso_model
from llmattr.surrogate.linear import Columns, Model
from llmattr.surrogate.ridge_fit import ridge_model
from llmattr.surrogate.sampling import (
    ENOUGH,
    Column,
    Estimate,
    Masks,
    ask_once,
    assembled,
    columns_of,
    note_unknown,
    rank_correlation,
)
from llmattr.surrogate.semivalues import Sizes, chance, level
from llmattr.surrogate.sized import SizedMasks, least_variance, size_coefficients, sized_masks

FOLDS = 10
FEWEST = 5  # pairs whose outputs are foretold
PAIRS = 1.25  # for each source: of fewer, what a regression leaves is mostly chance

Values = Float[np.ndarray, " n"]
Law = Float[np.ndarray, " n_plus_1"]


class Rows(NamedTuple):
    """What is regressed: columns x [m, n], and the coefficients c [m, n] with which outputs y give values: `sum_j c_j y_j`.

    The sum of `c_j x_j'` is the identity on average; where values have a known sum (`held`), which is taken out before, each
    x_j and each c_j has the sum 0. `level`: whether there is an intercept.
    """

    asked: SizedMasks
    columns: Columns
    coefficients: Columns
    level: bool
    held: bool = False


class Regressed(NamedTuple):
    """Values with their errors, and what values that did not see a drawn row expect of it."""

    values: Values
    stderr: Values
    expected: Float[np.ndarray, " k"]


def regressed(rows: Rows, y: Column) -> Regressed:
    """`values = mean_j w_k(j) + sum_j c_j (y_j - x_j w_k(j))`, w_k = weights of a fit of all rows but the k-th tenth.

    Without bias, as no weights saw the rows that they are held against, and without error where y is linear in x
    (regression-adjusted Monte Carlo: Witter et al. 2025, arXiv 2506.11849). The tenths are of the drawn rows. stderr: from the
    differences of terms that follow each other, as their sizes do (Wolter 1985), less the share of each size that was seen;
    nan of fewer than 4 terms.
    With fewer than 1.25 rows for each source a held sum's values are the weights alone, without errors.
    """
    x, drawn = rows.columns, np.flatnonzero(rows.asked.drawn)
    (m, n), count = x.shape, len(drawn)
    if count < 2:
        return Regressed(rows.coefficients.T @ y, np.full(n, np.nan if count else 0.0), np.zeros(count))
    model, folds = _better(rows, y), np.full(m, -1)
    folds[drawn] = np.random.default_rng(0).permutation(count) % min(FOLDS, count)
    weights, levels = _left_out(rows, y, model, folds)
    if rows.held and m < PAIRS * n:
        return Regressed(model.weights - model.weights.mean(), np.full(n, np.nan), (x * weights)[drawn].sum(axis=1))
    terms = rows.coefficients * (y - levels - (x * weights).sum(axis=1))[:, None]
    whole, each = terms[~rows.asked.drawn].sum(axis=0), count * terms[drawn] + weights[drawn]
    steps = np.diff((each - each.mean(axis=0)) * np.sqrt(rows.asked.unseen[drawn])[:, None], axis=0)
    stderr = np.sqrt((steps**2).mean(axis=0) / 2 / count) if count >= ENOUGH else np.full(n, np.nan)
    return Regressed(whole + each.mean(axis=0), stderr, _expected(x[drawn], whole, each, folds[drawn]))


def _better(rows: Rows, y: Column) -> Model:
    """Ridge or lasso, whichever has the least held-out error."""
    masks, x = rows.asked.masks, rows.columns
    ridge = ridge_model(masks, y, "auto", columns=x, level=rows.level)
    lasso = lasso_model(masks, y, "auto", columns_of=lambda _: x, level=rows.level)
    return ridge if np.mean(ridge.errors**2) <= np.mean(lasso.errors**2) else lasso


def _left_out(
    rows: Rows, y: Column, model: Model, folds: Int[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
    """Weights and levels of fits that did not see a row's fold; of rows without one (-1) their means over the others."""
    weights, levels = np.zeros(rows.columns.shape), np.zeros(len(y))
    for fold in range(folds.max() + 1):
        left, seen = folds == fold, np.flatnonzero(folds != fold)
        found = model.refit(seen)
        weights[left] = found - rows.held * found.mean()
        levels[left] = (y[seen] - rows.columns[seen] @ found).mean() if rows.level else 0.0
    inside = folds >= 0
    weights[~inside], levels[~inside] = weights[inside].mean(axis=0), levels[inside].mean()
    return weights, levels


def _expected(
    x: Float[np.ndarray, "k n"], whole: Values, each: Float[np.ndarray, "k n"], folds: Int[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """What the values without a row's fold expect of it."""
    found = np.zeros(len(x))
    for fold in range(folds.max() + 1):
        left = folds == fold
        found[left] = x[left] @ (whole + each[~left].mean(axis=0))
    return found


def by_pairs(
    ablation: Ablation, n_ablations: int, sizes: Sizes, law: Law | None, method: dict[str, Any], *, seed: int
) -> Attribution:
    """A semivalue with symmetric masses of sizes, from so many masks, each with its opposite.

    What is regressed is half the difference of their outputs: effects of two sources together, or of any even number, are not
    in it, nor in the values. `baseline` is right on average where so many sources are kept as `law` says. Without a law the
    values are Shapley's and add up: none and all are asked too, every source has an equal share of what they differ by,
    `baseline` is f(none), and the rest is regressed.
    """
    n, held = len(ablation.sources), law is None
    rows = _rows(n_ablations - 2 * held, sizes, held, seed)
    known = not held or determined(*_both(rows.asked))
    halves, drawn = rows.asked.masks, rows.asked.drawn
    every = np.concatenate([np.array([[False], [True]]).repeat(n, axis=1)[: 2 * held], halves, ~halves])
    norms = np.sqrt((rows.coefficients[~drawn] ** 2).sum(axis=0) / 2 + held * 2 / n**2)  # of the noise in what is not drawn
    estimates = []
    for column, noise in zip(columns_of(ask_once(ablation, every)), chance(ablation), strict=True):
        gain = column[1] - column[0] if held else 0.0
        outputs = column[2 * held :]
        equal = (halves.mean(axis=1) - 0.5) * gain
        found = regressed(rows, (outputs[: len(halves)] - outputs[len(halves) :]) / 2 - equal)
        values = found.values + gain / n
        weights = None if law is None else np.tile(law[halves.sum(axis=1)] * rows.asked.stands, 2)
        baseline = column[0] if weights is None else level(every, column, values, weights)
        stderr = np.hypot(found.stderr, noise * norms) if known else np.full(n, np.nan)
        lds = _lds(found.expected + equal[drawn], outputs.reshape(2, -1)[:, drawn])
        estimates.append(Estimate(values, float(baseline), stderr, lds))
    if known:
        note_unknown(estimates)
    else:
        note_few(n_ablations, n)
    record = {"seed": seed, "n_ablations": len(np.unique(every, axis=0)), "estimator": "regression"}
    return assembled(ablation, method, record, estimates)


def _rows(m: int, sizes: Sizes, held: bool, seed: int) -> Rows:
    """The first of each of m / 2 pairs; where the sum is held neither none nor all, and columns of sum 0."""
    n = len(sizes)
    shares = least_variance(sizes)
    shares[[0, n]] *= not held
    asked = sized_masks(m // 2, n, shares, seed, pairs=True)
    share = asked.masks.mean(axis=1, keepdims=True) if held else 0.5
    coefficients = 2 * size_coefficients(asked.masks, sizes, asked.stands)
    return Rows(asked, asked.masks - share, coefficients, level=False, held=held)


def _both(asked: SizedMasks) -> tuple[Masks, Bool[np.ndarray, " m"]]:
    """The masks, each followed by its opposite, and which were drawn."""
    return np.stack([asked.masks, ~asked.masks], axis=1).reshape(-1, asked.masks.shape[1]), np.repeat(asked.drawn, 2)


def _lds(expected: Float[np.ndarray, " k"], outputs: Float[np.ndarray, "2 k"]) -> float:
    """The rank correlation of the outputs of drawn masks and their opposites with what was expected; nan of few."""
    few = len(expected) < FEWEST
    return float("nan") if few else rank_correlation(np.concatenate([expected, -expected]), outputs.reshape(-1))
