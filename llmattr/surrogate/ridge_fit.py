"""The ridge of one target: all weights small, the penalty chosen by leaving each mask out, in closed form."""

import numpy as np
from jaxtyping import Float

from llmattr.surrogate.linear import (
    Alpha,
    Candidates,
    Columns,
    Model,
    Problem,
    Weights,
    check_alpha,
    choose,
    distinct,
    problems,
)
from llmattr.surrogate.sampling import Column, Masks


def ridge_model(
    masks: Masks,
    outputs: Column,
    alpha: Alpha,
    prior: Weights | None = None,
    *,
    columns: Columns | None = None,
    level: bool = True,
) -> Model:
    """Ridge of one target; each distinct mask is left out once, in closed form. Columns and `level` as for `lasso_model`.

    alpha "auto": no weight at all, 10^3 to 10^-6 times the number of ablations, four to a power of ten, or no penalty.
    """
    check_alpha(alpha)
    columns = masks.astype(float) if columns is None else columns
    alphas = ridge_alphas(len(masks)) if alpha == "auto" else np.array([alpha])
    rows, inverse, counts = distinct(masks)
    m = len(masks)
    means = np.bincount(inverse, outputs) / counts
    rest = np.where(counts < m, (outputs.sum() - counts * means) / np.maximum(m - counts, 1), means)
    kinds = []
    for problem in problems(columns[rows], means, prior, alpha, counts=counts, level=level):
        fits = ridge_fits(problem, alphas, rest)
        kinds.append(fits._replace(predictions=fits.predictions[:, inverse], levels=fits.levels[:, inverse]))
    return choose(columns, outputs, kinds, squared_fit)


def ridge_alphas(m: int) -> Float[np.ndarray, " a"]:
    """The penalties that are tried on m ablations, the strongest first."""
    return np.array([np.inf, *(m * 10.0 ** np.arange(3, -6.01, -0.25)), 0.0])


def ridge_fits(problem: Problem, alphas: Float[np.ndarray, " a"], rest: Column) -> Candidates:
    """Every penalty's ridge; `rest` [m] are the mean outputs of the ablations without each mask.

    With H the matrix that turns outputs into fitted values, the error of an ablation that was left out is
    `residual / (1 - H_ii)` (Allen 1974).
    """
    counts, m = problem.counts, problem.counts.sum()
    u, s, vt = np.linalg.svd(problem.x, full_matrices=False)
    s = np.where(s > 1e-10 * s.max(initial=0.0), s, 0.0)
    divisor, turned = np.where(s > 0, s, 1.0), u.T @ problem.y
    kept = np.where(s > 0, 1 / (1 + alphas[:, None] / divisor**2), 0.0)  # s^2 / (s^2 + alpha) of each singular direction [a, k]
    weights, intercepts = problem.solution((kept / divisor * turned) @ vt)
    leverage = kept @ (u**2).T + problem.level * counts / m + (0.0 if problem.direction is None else problem.direction**2)
    residual = problem.y - (kept * turned) @ u.T
    left = np.where(leverage < 1 - 1e-9, residual / np.maximum(1 - leverage, 1e-9), np.nan) / np.sqrt(counts)
    predictions = problem.outputs - left
    predictions[0] = np.where(np.isnan(predictions[0]), rest, predictions[0])  # two masks cannot tell the prior's scale
    levels = predictions - (predictions - rest) * (1 - counts / m)  # the mean of all, not of those that were seen
    return Candidates(problem, alphas, weights, intercepts, predictions, levels)


def squared_fit(problem: Problem, alpha: float) -> Weights:
    """The minimiser of `|y - x d|^2 + alpha |d|^2`, by whichever of rows and columns are fewer."""
    x, y = problem.x, problem.y
    m, p = x.shape
    if not np.isfinite(alpha):
        return np.zeros(p)
    if alpha == 0:
        return np.linalg.lstsq(x, y, rcond=1e-10)[0]
    if alpha <= 1e-9 * m:
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        return (s / (s**2 + alpha) * (u.T @ y)) @ vt
    if m < p:
        return x.T @ np.linalg.solve(x @ x.T + alpha * np.eye(m), y)
    return np.linalg.solve(x.T @ x + alpha * np.eye(p), x.T @ y)
