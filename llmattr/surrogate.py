"""Attributions estimated from ablations, over ANY `Ablation`: context, training data, components, a black box."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation, one_out_masks, random_masks
from llmattr.errors import LlmattrError, check_number
from llmattr.types import Attribution

Masks = Bool[np.ndarray, "m n"]
Outputs = Float[np.ndarray, "m t"]
Fit = tuple[Float[np.ndarray, "t n"], Float[np.ndarray, " t"]]  # weights and intercepts

UNITS = {
    "logit": "nats of log-odds",
    "margin": "nats of log-odds",
    "logprob": "nats",
    "loss": "nats",
    "value": "the outputs' unit",
}


def lasso(
    ablation: Ablation,
    n_ablations: int = 64,
    keep: float = 0.5,
    alpha: float = 0.01,
    scale: Float[np.ndarray, " t"] | None = None,
    bootstraps: int = 100,
    seed: int = 0,
) -> Attribution:
    """Weights of a sparse linear surrogate: see `fit_lasso`; stderr by bootstrap over the ablations.

    ContextCite (Cohen-Wang et al. 2024, arXiv 2409.00729, section 3) is this with `scale` = each target's token count.
    """

    def fit(masks: Masks, outputs: Outputs) -> Fit:
        return fit_lasso(masks, outputs, alpha, scale)

    options = {"name": "lasso", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return _fitted(ablation, fit, options, bootstraps, seed)


def ridge(
    ablation: Ablation, n_ablations: int = 64, keep: float = 0.5, alpha: float = 1.0, bootstraps: int = 100, seed: int = 0
) -> Attribution:
    """Weights of a linear surrogate with a squared penalty: see `fit_ridge`; stderr by bootstrap over the ablations."""

    def fit(masks: Masks, outputs: Outputs) -> Fit:
        return fit_ridge(masks, outputs, alpha)

    options = {"name": "ridge", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return _fitted(ablation, fit, options, bootstraps, seed)


def leave_one_out(ablation: Ablation, seed: int = 0) -> Attribution:
    """`values[t, i] = f_t(all) - f_t(all but i)`: what is lost when source i alone is removed. n + 1 ablations, exact.

    Two sources that say the same both score 0: either one suffices. `baseline` is `f(all) - sum of values`.
    """
    outputs = ablation(one_out_masks(len(ablation.sources)))
    values = (outputs[0] - outputs[1:]).T
    return _attribution(ablation, values, outputs[0] - values.sum(axis=1), None, {"name": "leave-one-out"}, seed)


def fit_lasso(masks: Masks, outputs: Outputs, alpha: float = 0.01, scale: Float[np.ndarray, " t"] | None = None) -> Fit:
    """Weights [t, n] and intercepts [t] that minimise `|y - b - X w|^2 / (2 m) + alpha |w|_1` for each target.

    X is the standardised masks and y = outputs / scale; weights and intercept come back for raw masks and outputs.
    As context-cite 0.0.4 `LassoRegression` (scikit-learn's coordinate descent), in float64.
    """
    from sklearn.linear_model import Lasso

    scale = np.ones(outputs.shape[1]) if scale is None else scale
    model = Lasso(alpha=alpha, max_iter=10_000)
    weights, intercepts = _fit_standardised(model, masks, outputs / scale)
    return weights * scale[:, None], intercepts * scale


def fit_ridge(masks: Masks, outputs: Outputs, alpha: float = 1.0) -> Fit:
    """Weights [t, n] and intercepts [t] that minimise `|y - b - X w|^2 + alpha |w|^2`, X the standardised masks."""
    from sklearn.linear_model import Ridge

    return _fit_standardised(Ridge(alpha=alpha), masks, outputs)


def _fit_standardised(model: Any, masks: Masks, outputs: Outputs) -> Fit:
    from sklearn import config_context

    mean, std = masks.mean(axis=0), masks.std(axis=0)
    std[std == 0] = 1.0  # a source that was always kept, or never, has no weight
    with config_context(assume_finite=True, skip_parameter_validation=True):  # a bootstrap fits hundreds of times
        model.fit((masks - mean) / std, outputs)
    weights = np.atleast_2d(model.coef_) / std
    return weights + 0.0, np.atleast_1d(model.intercept_) - weights @ mean


def _fitted(
    ablation: Ablation, fit: Callable[[Masks, Outputs], Fit], options: dict[str, Any], bootstraps: int, seed: int
) -> Attribution:
    m, n = options["n_ablations"], len(ablation.sources)
    check_number("n_ablations", m, 2, whole=True)
    check_number("alpha", options["alpha"], 0)
    check_number("bootstraps", bootstraps, 0, whole=True)
    masks = random_masks(m, n, options["keep"], seed)
    outputs = ablation(masks)
    if not np.isfinite(outputs).all():
        row, target = np.argwhere(~np.isfinite(outputs))[0]
        raise LlmattrError(f"ablation {row} gave {outputs[row, target]} for target {target}: the surrogate needs numbers")
    values, intercepts = fit(masks, outputs)
    stderr = bootstrap_stderr(lambda rows: fit(masks[rows], outputs[rows])[0], m, bootstraps, seed)
    if stderr is not None:
        stderr = np.maximum(stderr, residual_stderr(masks, outputs, values, intercepts))
    return _attribution(ablation, values, intercepts, stderr, options, seed)


def residual_stderr(
    masks: Masks, outputs: Outputs, values: Float[np.ndarray, "t n"], intercepts: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t n"]:
    """The error of a least-squares weight on random masks: `sigma / (std_i sqrt(f))`, `sigma^2 = |residual|^2 / f`.

    `f = m - s - 1` with s weights that are not zero (the lasso's degrees of freedom: Zou, Hastie and Tibshirani 2007). It
    bounds the bootstrap's error from below, which is too small where sources are as many as ablations.
    """
    residual = outputs - intercepts - masks @ values.T
    freedom = np.maximum(len(masks) - (values != 0).sum(axis=1) - 1, 1)
    sigma = np.sqrt((residual**2).sum(axis=0) / freedom)
    std = masks.std(axis=0)
    return sigma[:, None] / (np.where(std > 0, std, np.inf) * freedom[:, None] ** 0.5)


def bootstrap_stderr(
    statistic: Callable[[Any], Float[np.ndarray, "t n"]], m: int, bootstraps: int = 100, seed: int = 0
) -> Float[np.ndarray, "t n"] | None:
    """Standard error of a statistic of m rows: its deviation over `bootstraps` draws of m rows with replacement.

    Efron 1979. With 100 draws the error itself is known to about 7 %. None when fewer than two draws are asked for.
    """
    if bootstraps < 2:
        return None
    draws = np.random.default_rng(seed).integers(m, size=(bootstraps, m))
    return np.std([statistic(rows) for rows in draws], axis=0, ddof=1)


def _attribution(
    ablation: Ablation, values: Any, baseline: Any, stderr: Any, options: dict[str, Any], seed: int
) -> Attribution:
    return Attribution(
        values=values,
        sources=ablation.sources,
        targets=ablation.targets,
        unit=UNITS.get(ablation.targets.measure, ablation.targets.measure),
        method=options,
        run={**ablation.record(), "seed": seed},
        stderr=stderr,
        baseline=baseline,
    )
