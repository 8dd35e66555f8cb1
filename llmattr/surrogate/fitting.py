"""Surrogates: masks are drawn, once or in rounds, a linear fit is made of each target, and an `Attribution` of them all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation, ask, every_mask, random_masks
from llmattr.core.attribution import Attribution
from llmattr.core.citing import is_cited, least_score
from llmattr.errors import LlmattrError, check_number
from llmattr.metrics.stats import bootstrap_stderr
from llmattr.surrogate.linear import Alpha, Columns, Model, Problem, distinct, lasso_model, mean_model, ridge_model, squared_fit
from llmattr.surrogate.sampling import (
    PRECISION,
    Column,
    Count,
    Masks,
    attribution,
    columns_of,
    heldout_stderr,
    note_unknown,
    rank_correlation,
    rounds,
)

Prior = Float[np.ndarray, "t n"]
Scores = Float[np.ndarray, " n"]
Outputs = Float[np.ndarray, "m t"]
Weights = tuple[Float[np.ndarray, "t n"], Float[np.ndarray, " t"]]  # and intercepts

FIRST_ROUND = 16  # ablations


@dataclass(frozen=True)
class Drawing:
    """How many masks are drawn, how many sources they keep, and how often they are drawn again for the errors: see `draw`."""

    n_ablations: Count = 64
    keep: float = 0.5
    bootstraps: int = 100
    limit: int = 256
    seed: int = 0

    def check(self, alpha: Alpha = "auto") -> None:
        """Raise `LlmattrError` for options that are out of bounds."""
        check_number("n_ablations", self.n_ablations, 2, whole=True, words=["auto"])
        check_number("alpha", alpha, 0, words=["auto"])
        check_number("bootstraps", self.bootstraps, 0, whole=True)
        check_number("limit", self.limit, FIRST_ROUND, whole=True)
        if self.n_ablations == "auto" and self.bootstraps < 2:
            raise LlmattrError("n_ablations='auto' stops by the bootstrap errors: it needs bootstraps, 100 say")


def lasso(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    alpha: Alpha = "auto",
    *,
    scale: Float[np.ndarray, " t"] | None = None,
    prior: Prior | None = None,
    bootstraps: int = 100,
    limit: int = 256,
    seed: int = 0,
) -> Attribution:
    """Weights of a sparse linear surrogate: they minimise `|y - b - X w|^2 / (2 m) + alpha |w|_1`, X the standardised masks.

    `alpha`: the penalty, in units of the outputs divided by `scale`, or "auto": each target's has the least held-out error.
    `n_ablations`, `limit`: see `draw`. `prior` [t, n]: scores from elsewhere, around which the fit is made: `w = s prior + d`
    with s free and d penalised; "auto" may also choose the prior alone (d = 0) or no prior. stderr by bootstrap over the
    ablations, and at least that of `heldout_stderr`; nan, so that nothing is cited, with fewer than two `bootstraps` and for a
    source that no ablation removed or none kept. ContextCite (Cohen-Wang et al. 2024, arXiv 2409.00729, section 3) is this
    with a given alpha and `scale` = each target's token count.

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ [[2.0], [-1.0], [0.0]], 3)
    >>> np.allclose(lasso(sums, alpha=0.001).values, [[2.0, -1.0, 0.0]], atol=0.01)
    True
    """
    drawing = Drawing(n_ablations, keep, bootstraps, limit, seed)
    drawing.check(alpha)
    priors = _priors(ablation, prior)

    def fit(masks: Masks, outputs: Column, t: int) -> Fitted:
        if alpha == "auto":
            model = lasso_model(masks, outputs, "auto", priors[t])
        else:
            model = _given_lasso(masks, outputs, alpha, 1.0 if scale is None else float(scale[t]), priors[t])
        return assessed(model, masks, outputs, drawing, prior=priors[t])

    method = {"name": "lasso", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return attribution_of(ablation, method, *draw(ablation, fit, drawing))


def ridge(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    alpha: Alpha = "auto",
    *,
    prior: Prior | None = None,
    bootstraps: int = 100,
    limit: int = 256,
    seed: int = 0,
) -> Attribution:
    """Weights of a linear surrogate with a squared penalty: they minimise `|y - b - X w|^2 + alpha |w|^2`.

    Options as for `lasso`; alpha "auto" has the least leave-one-out error, in closed form.

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ [[2.0], [-1.0], [0.0]], 3)
    >>> ridge(sums, alpha=1e-9).values.round(6).tolist()
    [[2.0, -1.0, 0.0]]
    """
    drawing = Drawing(n_ablations, keep, bootstraps, limit, seed)
    drawing.check(alpha)
    priors = _priors(ablation, prior)

    def fit(masks: Masks, outputs: Column, t: int) -> Fitted:
        return assessed(ridge_model(masks, outputs, alpha, priors[t]), masks, outputs, drawing, prior=priors[t])

    method = {"name": "ridge", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return attribution_of(ablation, method, *draw(ablation, fit, drawing))


def blend(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    *,
    prior: Prior | None = None,
    bootstraps: int = 100,
    limit: int = 256,
    seed: int = 0,
) -> Attribution:
    """The mean of `lasso` and `ridge` with their chosen penalties: steadier than either where a few effects are large."""
    drawing = Drawing(n_ablations, keep, bootstraps, limit, seed)
    drawing.check()
    priors = _priors(ablation, prior)

    def fit(masks: Masks, outputs: Column, t: int) -> Fitted:
        model = mean_model(lasso_model(masks, outputs, "auto", priors[t]), ridge_model(masks, outputs, "auto", priors[t]))
        return assessed(model, masks, outputs, drawing, prior=priors[t])

    method = {"name": "blend", "n_ablations": n_ablations, "keep": keep}
    return attribution_of(ablation, method, *draw(ablation, fit, drawing))


def _priors(ablation: Ablation, prior: Prior | None) -> Sequence[Scores | None]:
    """Each target's prior; raises `LlmattrError` for one of other targets or sources."""
    shape = (len(ablation.targets), len(ablation.sources))
    if prior is None:
        return [None] * shape[0]
    if prior.shape != shape or not np.isfinite(prior).all():
        raise LlmattrError(f"the prior must be finite numbers for targets and sources {shape}, not {prior.shape}")
    return list(prior)


def _given_lasso(masks: Masks, outputs: Column, alpha: float, scale: float, prior: Scores | None) -> Model:
    """The lasso with a given penalty: weights to the tolerance of the reference, errors and LDS of the same fit by paths."""
    model = lasso_model(masks, outputs, alpha * scale, prior)
    if prior is not None:
        return model
    weights, intercepts = fit_lasso(masks, outputs[:, None], alpha, np.array([scale]))
    return model._replace(weights=weights[0], intercept=float(intercepts[0]))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A target's model with its errors, on the first m masks that were drawn."""

    model: Model
    values: Scores
    baseline: float
    stderr: Scores | None
    lds: float
    prior_agreement: float | None = None  # rank correlation of what the prior predicts with the outputs


Fit = Callable[[Masks, Column, int], Fitted]  # of masks and outputs of the target of this number


def draw(ablation: Ablation, fit: Fit, drawing: Drawing) -> tuple[list[Fitted], dict[str, Any]]:
    """Ask for ablations, fit every target, and say in a record how many ablations there were: a number, or "auto"."""
    if drawing.n_ablations == "auto":
        return _until_settled(ablation, fit, drawing)
    masks = random_masks(drawing.n_ablations, len(ablation.sources), drawing.keep, drawing.seed)
    outputs = columns_of(ask(ablation, masks))
    return [fit(masks, column, t) for t, column in enumerate(outputs)], {"seed": drawing.seed, "n_ablations": len(masks)}


def _until_settled(ablation: Ablation, fit: Fit, drawing: Drawing) -> tuple[list[Fitted], dict[str, Any]]:
    """The same in rounds; the record also says why they ended.

    16 are drawn, then as many again up to `limit`, until each target is settled: every score that is cited, and the highest
    that is not, has `stderr <= max(0.1 max(values), least / 2)`: a tenth of the largest score, or half the least that is worth
    a mention (`least_score`: 0.1 nats; of outputs in another unit a share of the largest). A settled target keeps the masks
    that it has, so that its scores do not depend on the other targets. Where the number reaches 2^n at keep 0.5, every mask is
    taken once and drawing ends.
    """
    n, open_targets = len(ablation.sources), list(range(len(ablation.targets)))
    masks, outputs = np.empty((0, n), dtype=bool), np.empty((0, len(open_targets)))
    fits: dict[int, Fitted] = {}
    stopped = "limit"
    for m in rounds(FIRST_ROUND, drawing.limit):
        complete = drawing.keep == 0.5 and n < 31 and 2**n <= m
        new = random_masks(m, n, drawing.keep, drawing.seed)[len(masks) :]
        if complete:
            rows = np.sort(distinct(masks)[0]) if len(masks) else np.empty(0, dtype=int)
            masks, outputs = masks[rows], outputs[rows]
            new = _others(masks, n)
        if len(new):
            masks, outputs = np.concatenate([masks, new]), np.concatenate([outputs, ask(ablation, new, len(masks))])
        for t in open_targets:
            fits[t] = fit(masks, outputs[:, t].copy(), t)
        open_targets = [t for t in open_targets if not settled(fits[t], ablation.targets.measure)]
        if complete or not open_targets:
            stopped = "every mask was drawn" if open_targets else "settled"
            break
    return [fits[t] for t in sorted(fits)], {"seed": drawing.seed, "n_ablations": len(masks), "stopped": stopped}


def _others(masks: Masks, n: int) -> Bool[np.ndarray, "k n"]:
    """Every mask that is not among these."""
    every = every_mask(n)
    seen = {mask.tobytes() for mask in masks}
    return every[[mask.tobytes() not in seen for mask in every]]


def settled(fit: Fitted, measure: str) -> bool:
    """Whether more ablations would change little of what is read: see `_until_settled`."""
    if fit.stderr is None or np.isnan(fit.stderr).any():
        return False
    least = least_score(measure, fit.values, fit.baseline)
    cited = is_cited(fit.values, fit.stderr, least)
    errors = fit.stderr[cited].tolist()
    if not cited.all():
        errors.append(fit.stderr[~cited][np.argmax(fit.values[~cited])])
    return bool(max(errors) <= max(PRECISION * fit.values.max(), least[0] / 2))


def _beside_prior(fits: list[Fitted]) -> dict[str, Sequence[Any]]:
    if fits[0].prior_agreement is None:
        return {}
    return {
        "around_prior": [one.model.around_prior for one in fits],
        "prior_agreement": [one.prior_agreement for one in fits],
    }


def assessed(
    model: Model,
    columns: Masks | Columns,
    outputs: Column,
    drawing: Drawing,
    *,
    values_of: Callable[[Scores], Scores] = lambda weights: weights,
    baseline: float | None = None,
    prior: Scores | None = None,
) -> Fitted:
    """A model with its standard errors and its LDS; `values_of` turns its weights into scores, where they are not the same."""
    stderr = bootstrap_stderr(lambda rows: values_of(model.refit(rows))[None], len(columns), drawing.bootstraps, drawing.seed)
    return Fitted(
        model=model,
        values=values_of(model.weights),
        baseline=model.intercept if baseline is None else baseline,
        stderr=None if stderr is None else np.maximum(stderr[0], heldout_stderr(columns, model.errors)),
        lds=rank_correlation(model.predicted, outputs),
        prior_agreement=None if prior is None else rank_correlation(columns @ prior, outputs),
    )


def attribution_of(
    ablation: Ablation,
    method: dict[str, Any],
    fits: list[Fitted],
    record: dict[str, Any],
    details: Mapping[str, Sequence[Any]] | None = None,
) -> Attribution:
    """The attribution of all targets, with their penalties; errors that nobody asked for are nan, as those not known."""
    values = np.array([fit.values for fit in fits])
    errors = [fit.stderr for fit in fits if fit.stderr is not None]
    stderr = np.array(errors) if errors else np.full_like(values, np.nan)
    if errors:
        note_unknown(stderr)
    baseline, lds = np.array([fit.baseline for fit in fits]), np.array([fit.lds for fit in fits])
    # The penalties; None is an infinite one, which leaves the prior alone or nothing.
    alphas = [fit.model.alpha if np.isfinite(fit.model.alpha) else None for fit in fits]
    details = {"alpha": alphas, **(details or {}), **_beside_prior(fits)}
    return attribution(ablation, method, record, values=values, baseline=baseline, stderr=stderr, lds=lds, details=details)


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
