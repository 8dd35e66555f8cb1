"""Linear fits of one target: lasso and ridge, around a prior or not, their penalty chosen by held-out error."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.errors import check_number
from llmattr.surrogate.choice import (
    FOLDS,
    Alpha,
    Candidates,
    Columns,
    Masks,
    Model,
    Outputs,
    Problem,
    choose,
    distinct,
    mask_folds,
)

Fit = tuple[Float[np.ndarray, "t n"], Float[np.ndarray, " t"]]  # weights and intercepts
Paths = Float[np.ndarray, "a p"]


def fit_lasso(masks: Masks, outputs: Outputs, alpha: float = 0.01, scale: Float[np.ndarray, " t"] | None = None) -> Fit:
    """Weights [t, n] and intercepts [t] that minimise `|y - b - X w|^2 / (2 m) + alpha |w|_1` for each target.

    X is the standardised masks and y = outputs / scale; weights and intercept come back for raw masks and outputs.
    As context-cite 0.0.4 `LassoRegression` (scikit-learn's coordinate descent), in float64.
    """
    from sklearn import config_context
    from sklearn.linear_model import Lasso

    scale = np.ones(outputs.shape[1]) if scale is None else scale
    model = Lasso(alpha=alpha, max_iter=10_000)
    mean, std = masks.mean(axis=0), _spread(masks)
    with config_context(assume_finite=True, skip_parameter_validation=True):
        model.fit((masks - mean) / std, outputs / scale)
    weights = np.atleast_2d(model.coef_) / std
    intercepts = np.atleast_1d(model.intercept_) - weights @ mean
    return (weights + 0.0) * scale[:, None], intercepts * scale


def fit_ridge(masks: Masks, outputs: Outputs, alpha: float = 1.0) -> Fit:
    """Weights [t, n] and intercepts [t] that minimise `|y - b - X w|^2 + alpha |w|^2`, X the standardised masks."""
    problems = [Problem.of(masks.astype(float), outputs[:, t].copy(), None) for t in range(outputs.shape[1])]
    fits = [problem.solution(_squared(problem, alpha)) for problem in problems]
    return np.array([weights for weights, _ in fits]), np.array([float(intercept) for _, intercept in fits])


def _spread(columns: Any) -> Float[np.ndarray, " p"]:
    std = columns.std(axis=0)
    return np.where(std > 0, std, 1.0)  # a source that was always kept, or never, has no weight


def lasso_model(masks: Masks, outputs: Float[np.ndarray, " m"], alpha: Alpha, prior: Float[np.ndarray, " n"] | None) -> Model:
    """The lasso of one target, by cross-validation over folds of distinct masks."""
    columns = masks.astype(float)
    return chosen_lasso(lambda rows: columns, masks, outputs, alpha, prior)


def chosen_lasso(
    columns_of: Callable[[Any], Columns],
    masks: Masks,
    outputs: Float[np.ndarray, " m"],
    alpha: Alpha,
    prior: Float[np.ndarray, " p"] | None = None,
) -> Model:
    """The lasso on columns that `columns_of` may choose by looking at the training rows alone.

    alpha "auto": no weight at all, penalties from the least that leaves none down to 1/300 of it, and, where four fifths of the
    distinct ablations are more than the weights, no penalty.
    """
    check_number("alpha", alpha, 0, words=["auto"])
    folds, everything = mask_folds(masks), np.arange(len(masks))

    def candidates(prior: Float[np.ndarray, " p"] | None) -> Candidates | None:
        columns = columns_of(everything)
        problem = Problem.of(columns, outputs, prior)
        if prior is not None and problem.opposes:
            return None
        alphas = np.array([alpha]) if alpha != "auto" else _lasso_alphas(problem, masks)
        weights, intercepts = problem.solution(lasso_path(problem.x, problem.y, alphas, 1e-6))
        predictions, levels = np.full((2, len(alphas), len(outputs)), np.nan)
        for fold in range(folds.max() + 1):
            seen, left = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            if len(seen) == 0:  # one mask only
                continue
            part = columns_of(seen)
            known = Problem.of(part[seen], outputs[seen], prior)
            w, b = known.solution(lasso_path(known.x, known.y, alphas))
            predictions[:, left] = b[:, None] + w @ part[left].T
            levels[:, left] = (b + w @ part.mean(axis=0))[:, None]

        def refit(alpha: float) -> Callable[[Any], Float[np.ndarray, " p"]]:
            def weights_of(rows: Any) -> Float[np.ndarray, " p"]:
                drawn = Problem.of(columns[rows], outputs[rows], prior)
                return drawn.solution(lasso_path(drawn.x, drawn.y, np.array([alpha])))[0][0]

            return weights_of

        return Candidates(alphas, weights, intercepts, predictions, levels, refit)

    model = _with_or_without(outputs, candidates, alpha, prior)
    dust = np.abs(model.weights) <= 1e-12 * np.ptp(outputs)  # rounding is no effect
    return model._replace(weights=np.where(dust, 0.0, model.weights))


def _with_or_without(outputs: Any, candidates: Callable[[Any], Candidates | None], alpha: Alpha, prior: Any) -> Model:
    """A penalty that was given is applied around the prior; a chosen one may drop the prior."""
    around = None if prior is None else candidates(prior)
    return choose(outputs, around, candidates(None) if around is None or alpha == "auto" else None)


def _lasso_alphas(problem: Problem, masks: Masks) -> Float[np.ndarray, " a"]:
    largest = np.abs(problem.x.T @ problem.y).max(initial=0.0) / len(problem.y)
    grid = [np.inf, *(largest * np.geomspace(1, 1 / 300, 25)[1:])] if largest > 0 else [np.inf]
    least_squares = (1 - 1 / FOLDS) * len(np.unique(masks, axis=0)) > problem.x.shape[1] + 1
    return np.array([*grid, 0.0] if least_squares else grid)


def lasso_path(x: Columns, y: Float[np.ndarray, " m"], alphas: Float[np.ndarray, " a"], tol: float = 1e-4) -> Paths:
    """Minimisers of `|y - x d|^2 / (2 m) + alpha |d|_1` for alphas that fall: infinity leaves no weight, 0 is least squares."""
    import warnings

    from sklearn import config_context, linear_model
    from sklearn.exceptions import ConvergenceWarning

    found = np.zeros((len(alphas), x.shape[1]))
    inside = np.isfinite(alphas) & (alphas > 0)
    if inside.any() and x.any() and y.any():
        products = {"precompute": np.ascontiguousarray(x.T @ x), "Xy": x.T @ y}
        with config_context(assume_finite=True, skip_parameter_validation=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # held-out error judges what was found
            options: dict[str, Any] = {
                "alphas": alphas[inside],
                "tol": tol,
                "max_iter": 10_000,
                "check_input": False,
                **products,
            }
            _, coefficients, *_ = linear_model.lasso_path(np.asfortranarray(x), y, **options)
        found[inside] = coefficients.T
    if (alphas == 0).any():
        found[alphas == 0] = np.linalg.lstsq(x, y, rcond=1e-10)[0]
    return found


def ridge_model(masks: Masks, outputs: Float[np.ndarray, " m"], alpha: Alpha, prior: Float[np.ndarray, " n"] | None) -> Model:
    """Ridge of one target; each distinct mask is left out once, in closed form.

    With H the matrix that turns outputs into fitted values, the error of an ablation that was left out is
    `residual / (1 - H_ii)` (Allen 1974). alpha "auto": no weight at all, 10^3 to 10^-6 times the number of ablations, four to a
    power of ten, or no penalty.
    """
    check_number("alpha", alpha, 0, words=["auto"])
    rows, inverse, counts = distinct(masks)
    columns, m = masks[rows].astype(float), len(masks)
    means = np.bincount(inverse, outputs) / counts
    alphas = np.array([np.inf, *(m * 10.0 ** np.arange(3, -6.01, -0.25)), 0.0] if alpha == "auto" else [alpha])

    def candidates(prior: Float[np.ndarray, " n"] | None) -> Candidates | None:
        problem = Problem.of(columns, means, prior, counts)
        if prior is not None and problem.opposes:
            return None
        u, s, vt = np.linalg.svd(problem.x, full_matrices=False)
        s = np.where(s > 1e-10 * s.max(initial=0.0), s, 0.0)
        kept = _shrunk(s, alphas)  # [a, k]
        weights, intercepts = problem.solution((kept / np.where(s > 0, s, 1.0) * (u.T @ problem.y)) @ vt)
        leverage = kept @ (u**2).T + counts / m + (0.0 if problem.direction is None else problem.direction**2)
        residual = problem.y - (kept * (u.T @ problem.y)) @ u.T
        left = np.where(leverage < 1 - 1e-9, residual / np.maximum(1 - leverage, 1e-9), np.nan) / np.sqrt(counts)
        rest = np.where(counts < m, (outputs.sum() - counts * means) / np.maximum(m - counts, 1), means)

        def refit(alpha: float) -> Callable[[Any], Float[np.ndarray, " n"]]:
            return lambda rows: _refit_ridge(masks[rows].astype(float), outputs[rows], alpha, prior)

        predictions = means - left
        predictions[0] = np.where(np.isnan(predictions[0]), rest, predictions[0])  # two masks cannot tell the prior's scale
        levels = predictions - (predictions - rest) * (1 - counts / m)  # the mean of all, not of those that were seen
        return Candidates(alphas, weights, intercepts, predictions[:, inverse], levels[:, inverse], refit)

    return _with_or_without(outputs, candidates, alpha, prior)


def _shrunk(s: Float[np.ndarray, " k"], alphas: Float[np.ndarray, " a"]) -> Float[np.ndarray, "a k"]:
    """`s^2 / (s^2 + alpha)`: how much ridge keeps of each singular direction."""
    return np.where(s > 0, 1 / (1 + alphas[:, None] / np.where(s > 0, s, 1.0) ** 2), 0.0)


def _refit_ridge(columns: Columns, outputs: Any, alpha: float, prior: Any) -> Float[np.ndarray, " n"]:
    problem = Problem.of(columns, outputs, prior)
    return problem.solution(_squared(problem, alpha))[0]


def _squared(problem: Problem, alpha: float) -> Float[np.ndarray, " p"]:
    """The minimiser of `|y - x d|^2 + alpha |d|^2`, by whichever of rows and columns are fewer."""
    x, y = problem.x, problem.y
    m, p = x.shape
    if not np.isfinite(alpha):
        return np.zeros(p)
    if alpha <= 1e-9 * m:
        return np.linalg.lstsq(x, y, rcond=1e-10)[0] if alpha == 0 else _by_svd(x, y, alpha)
    if m < p:
        return x.T @ np.linalg.solve(x @ x.T + alpha * np.eye(m), y)
    return np.linalg.solve(x.T @ x + alpha * np.eye(p), x.T @ y)


def _by_svd(x: Columns, y: Any, alpha: float) -> Float[np.ndarray, " p"]:
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return (s / (s**2 + alpha) * (u.T @ y)) @ vt


def blend_model(masks: Masks, outputs: Float[np.ndarray, " m"], alpha: Alpha, prior: Float[np.ndarray, " n"] | None) -> Model:
    """The mean of the chosen lasso and the chosen ridge."""
    a, b = lasso_model(masks, outputs, alpha, prior), ridge_model(masks, outputs, alpha, prior)
    return Model(
        weights=(a.weights + b.weights) / 2,
        intercept=(a.intercept + b.intercept) / 2,
        predicted=(a.predicted + b.predicted) / 2,
        errors=(a.errors + b.errors) / 2,
        refit=lambda rows: (a.refit(rows) + b.refit(rows)) / 2,
        alpha=a.alpha,
        around_prior=a.around_prior or b.around_prior,
    )
