"""A linear surrogate on masks by design, around a prior, its penalty by marginal likelihood: good from few ablations."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation, ask, designed_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number
from llmattr.surrogate.sampling import Column, Estimate, Masks, assembled, columns_of, heldout_stderr, left_out_lds

Scores = Float[np.ndarray, " n"]
RATIOS = np.array([0.0, *np.geomspace(1e-4, 1e8, 49)])  # of the variance of a deviation to that of the noise
ROUNDING = 1e-12  # of the outputs' variance


class Fit(NamedTuple):
    """`y = intercept + scale M prior + M deviations + noise`, with `deviations ~ N(0, ratio noise^2)`.

    `errors` [m] are how far off fits are that did not see an ablation, in closed form.
    """

    ratio: float
    likelihood: float
    intercept: float
    scale: float
    deviations: Scores
    errors: Column


def screening(
    ablation: Ablation, n_ablations: int = 32, *, prior: Float[np.ndarray, "t n"] | None = None, seed: int = 0
) -> Attribution:
    """Weights of a linear surrogate on `designed_masks`: `w = s prior + d`, s at least 0, d normal.

    How much the weights may differ from the prior is what makes the outputs likeliest (restricted maximum likelihood, Patterson
    and Thompson 1971, of the mixed model of Henderson 1950): with few ablations they stay near the prior, with many they leave
    it. stderr by the errors of fits that did not see an ablation (`heldout_stderr`). Screening designs: Plackett and Burman
    1946. Raises `LlmattrError` for a prior of another shape.

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ [[2.0], [-1.0], [0.0]], 3)
    >>> (screening(sums, 8).values.round(6) + 0.0).tolist()
    [[2.0, -1.0, 0.0]]
    """
    check_number("n_ablations", n_ablations, 2, whole=True)
    n, t = len(ablation.sources), len(ablation.targets)
    if prior is not None and not (prior.shape == (t, n) and np.isfinite(prior).all()):
        raise LlmattrError(f"the prior must be finite numbers for targets and sources {(t, n)}, not {prior.shape}")
    masks = designed_masks(n_ablations, n, seed)
    masks = masks[np.sort(np.unique(masks, axis=0, return_index=True)[1])]
    outputs = columns_of(ask(ablation, masks))
    priors = np.zeros((t, n)) if prior is None else prior
    estimates = [_estimate(masks, column, one) for column, one in zip(outputs, priors, strict=True)]
    method, record = {"name": "screening", "n_ablations": n_ablations}, {"seed": seed, "n_ablations": len(masks)}
    return assembled(ablation, method, record, estimates)


def _estimate(masks: Masks, outputs: Column, prior: Scores) -> Estimate:
    fit = best_fit(masks.astype(float), outputs, prior)
    return Estimate(
        values=fit.scale * prior + fit.deviations,
        baseline=fit.intercept,
        stderr=heldout_stderr(masks, fit.errors),
        lds=left_out_lds(outputs, fit.errors),
        details={"prior_scale": fit.scale, "ratio": fit.ratio},
    )


def best_fit(x: Float[np.ndarray, "m n"], y: Column, prior: Scores) -> Fit:
    """The fit of the likeliest ratio; around the prior unless it would have to be turned round."""
    around = [fit_at(ratio, x, y, prior) for ratio in RATIOS] if np.ptp(x @ prior) > 0 else []
    around = [fit for fit in around if fit.scale >= 0]
    return max(around or [fit_at(ratio, x, y, None) for ratio in RATIOS], key=lambda fit: fit.likelihood)


def fit_at(ratio: float, x: Float[np.ndarray, "m n"], y: Column, prior: Scores | None) -> Fit:
    """The best linear unbiased prediction at a ratio; its likelihood is restricted to what the fixed part leaves.

    With `K = I + ratio X X'` and fixed columns W (1, and the prior's prediction), `P = K^-1 - K^-1 W (W' K^-1 W)^-1 W' K^-1`:
    `d = ratio X' P y`, and an ablation that was left out is missed by `(P y)_i / P_ii`.
    """
    m = len(y)
    fixed = np.ones((m, 1)) if prior is None else np.stack([np.ones(m), x @ prior], axis=1)
    inverse = np.linalg.inv(np.eye(m) + ratio * (x @ x.T))
    solved = inverse @ fixed
    inner = fixed.T @ solved
    projection = inverse - solved @ np.linalg.solve(inner, solved.T)
    rest = projection @ y
    free = m - fixed.shape[1]
    noise = max(float(y @ rest), ROUNDING * max(float(y @ y), 1e-300)) / max(free, 1)
    likelihood = -(free * np.log(noise) - np.linalg.slogdet(inverse)[1] + np.linalg.slogdet(inner)[1]) / 2
    coefficients = np.linalg.solve(inner, solved.T @ y)
    leverage = np.diag(projection)
    errors = np.where(leverage > ROUNDING, rest / np.maximum(leverage, ROUNDING), 0.0)
    scale = 0.0 if prior is None else float(coefficients[1])
    return Fit(ratio, float(likelihood), float(coefficients[0]), scale, ratio * (x.T @ rest), errors)
