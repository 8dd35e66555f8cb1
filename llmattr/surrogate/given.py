"""Lasso and ridge with a given penalty."""

import numpy as np
from jaxtyping import Float

from llmattr.surrogate.lasso_fit import lasso_model
from llmattr.surrogate.linear import Model, Problem
from llmattr.surrogate.ridge_fit import squared_fit
from llmattr.surrogate.sampling import Column, Masks

Outputs = Float[np.ndarray, "m t"]
Weights = tuple[Float[np.ndarray, "t n"], Float[np.ndarray, " t"]]  # and intercepts


def given_lasso(masks: Masks, outputs: Column, alpha: float, scale: float, prior: Float[np.ndarray, " n"] | None) -> Model:
    """Of one target: weights to the tolerance of the reference (`fit_lasso`), errors and LDS of the same fit by paths."""
    model = lasso_model(masks, outputs, alpha * scale, prior)
    if prior is not None:
        return model
    weights, intercepts = fit_lasso(masks, outputs[:, None], alpha, np.array([scale]))
    return model._replace(weights=weights[0], intercept=float(intercepts[0]))


def fit_lasso(masks: Masks, outputs: Outputs, alpha: float = 0.01, scale: Float[np.ndarray, " t"] | None = None) -> Weights:
    """Weights [t, n] and intercepts [t] that minimise `|y - b - X w|^2 / (2 m) + alpha |w|_1` for each target.

    X is the standardised masks and y = outputs / scale; weights and intercept come back for raw masks and outputs.
    As context-cite 0.0.4 `LassoRegression` (scikit-learn's coordinate descent), in float64.
    """
    from sklearn import config_context
    from sklearn.linear_model import Lasso

    scale = np.ones(outputs.shape[1]) if scale is None else scale
    model = Lasso(alpha=alpha, max_iter=10_000)
    mean, std = masks.mean(axis=0), masks.std(axis=0)
    std = np.where(std > 0, std, 1.0)  # a source that was always kept, or never, has no weight
    with config_context(assume_finite=True, skip_parameter_validation=True):
        model.fit((masks - mean) / std, outputs / scale)
    weights = np.atleast_2d(model.coef_) / std
    intercepts = np.atleast_1d(model.intercept_) - weights @ mean
    return (weights + 0.0) * scale[:, None], intercepts * scale


def fit_ridge(masks: Masks, outputs: Outputs, alpha: float = 1.0) -> Weights:
    """Weights [t, n] and intercepts [t] that minimise `|y - b - X w|^2 + alpha |w|^2`, X the standardised masks."""
    targets = [Problem.of(masks.astype(float), outputs[:, t].copy(), None) for t in range(outputs.shape[1])]
    fits = [problem.solution(squared_fit(problem, alpha)) for problem in targets]
    return np.array([weights for weights, _ in fits]), np.array([float(intercept) for _, intercept in fits])
