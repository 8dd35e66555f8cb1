"""The lasso of one target: few weights, the penalty chosen by cross-validation."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.surrogate.linear import (
    FOLDS,
    ROUNDING,
    Alpha,
    Candidates,
    Columns,
    ColumnsOf,
    Model,
    Problem,
    Weights,
    check_alpha,
    choose,
    mask_folds,
    problems,
)
from llmattr.surrogate.sampling import Column, Masks


def lasso_model(
    masks: Masks,
    outputs: Column,
    alpha: Alpha,
    prior: Weights | None = None,
    *,
    columns_of: ColumnsOf | None = None,
    level: bool = True,
) -> Model:
    """The lasso of one target, by cross-validation over folds of distinct masks.

    The columns are the masks where no `columns_of` is given; `level`: whether there is an intercept. alpha "auto": no weight at
    all, penalties from the least that leaves none down to 1/300 of it, and, where four fifths of the distinct ablations are
    more than the weights, no penalty.
    """
    check_alpha(alpha)
    columns_of = columns_of or (lambda rows: masks.astype(float))
    columns, folds = columns_of(np.arange(len(masks))), mask_folds(masks)
    kinds = []
    for problem in problems(columns, outputs, prior, alpha, level=level):
        alphas = _lasso_alphas(problem, masks) if alpha == "auto" else np.array([alpha])
        weights, intercepts = problem.solution(lasso_path(problem.x, problem.y, alphas, 1e-6))
        kinds.append(Candidates(problem, alphas, weights, intercepts, *_left_out(problem, columns_of, folds, alphas)))
    model = choose(columns, outputs, kinds, lambda problem, alpha: lasso_path(problem.x, problem.y, np.array([alpha]))[0])
    dust = np.abs(model.weights) <= ROUNDING * np.ptp(outputs)  # rounding is no effect
    return model._replace(weights=np.where(dust, 0.0, model.weights))


def _lasso_alphas(problem: Problem, masks: Masks) -> Float[np.ndarray, " a"]:
    largest = np.abs(problem.x.T @ problem.y).max(initial=0.0) / len(problem.y)
    grid = [np.inf, *(largest * np.geomspace(1, 1 / 300, 25)[1:])] if largest > 0 else [np.inf]
    least_squares = (1 - 1 / FOLDS) * len(np.unique(masks, axis=0)) > problem.x.shape[1] + 1
    return np.array([*grid, 0.0] if least_squares else grid)


def _left_out(
    problem: Problem, columns_of: ColumnsOf, folds: Int[np.ndarray, " m"], alphas: Float[np.ndarray, " a"]
) -> Float[np.ndarray, "2 a m"]:
    """What lassos that did not see an ablation's fold expect of it, and of the mean of all ablations; nan of one mask alone."""
    predictions, levels = found = np.full((2, len(alphas), len(folds)), np.nan)
    for fold in range(folds.max() + 1 if folds.any() else 0):
        seen, left = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        columns = columns_of(seen)
        known = Problem.of(columns[seen], problem.outputs[seen], problem.prior, level=problem.level)
        weights, intercepts = known.solution(lasso_path(known.x, known.y, alphas))
        predictions[:, left] = intercepts[:, None] + weights @ columns[left].T
        levels[:, left] = (intercepts + weights @ columns.mean(axis=0))[:, None]
    return found


def lasso_path(x: Columns, y: Column, alphas: Float[np.ndarray, " a"], tol: float = 1e-4) -> Float[np.ndarray, "a p"]:
    """Minimisers of `|y - x d|^2 / (2 m) + alpha |d|_1` for alphas that fall: infinity leaves no weight, 0 is least squares."""
    from sklearn import config_context, linear_model
    from sklearn.exceptions import ConvergenceWarning

    found = np.zeros((len(alphas), x.shape[1]))
    inside = np.isfinite(alphas) & (alphas > 0)
    if inside.any() and x.any() and y.any():
        options: dict[str, Any] = {"alphas": alphas[inside], "tol": tol, "max_iter": 10_000, "check_input": False}
        options |= {"precompute": np.ascontiguousarray(x.T @ x), "Xy": x.T @ y}
        with config_context(assume_finite=True, skip_parameter_validation=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # held-out error judges what was found
            found[inside] = linear_model.lasso_path(np.asfortranarray(x), y, **options)[1].T
    if (alphas == 0).any():
        found[alphas == 0] = np.linalg.lstsq(x, y, rcond=1e-10)[0]
    return found
