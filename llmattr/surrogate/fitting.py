"""Surrogates: masks are drawn, once or in rounds, a linear fit is made of each target, and an `Attribution` of them all."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation, ask, noise_of, one_out_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number
from llmattr.surrogate.choice import Alpha, Columns, Masks, Model, alphas_of
from llmattr.surrogate.drawing import FIRST_ROUND, Count, Fitted, draw
from llmattr.surrogate.errors import bootstrap_stderr, heldout_stderr, note_unknown, rank_correlation
from llmattr.surrogate.linear import blend_model, fit_lasso, lasso_model, ridge_model

Prior = Float[np.ndarray, "t n"]
FitTarget = Callable[[Masks, Float[np.ndarray, " m"], int], Model]

UNITS = {
    "logit": "nats of log-odds",
    "margin": "nats of log-odds",
    "logprob": "nats",
    "loss": "nats",
    "value": "the outputs' unit",
}


def lasso(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    alpha: Alpha = "auto",
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
    """

    def fit(masks: Masks, outputs: Float[np.ndarray, " m"], t: int) -> Model:
        own = None if prior is None else prior[t]
        if alpha == "auto":
            return lasso_model(masks, outputs, alpha, own)
        unit = np.ones(1) if scale is None else scale[t : t + 1]
        model = lasso_model(masks, outputs, alpha * float(unit[0]), own)
        if own is not None:
            return model
        weights, intercepts = fit_lasso(masks, outputs[:, None], alpha, unit)  # to the reference's tolerance
        return model._replace(weights=weights[0], intercept=float(intercepts[0]))

    options = {"name": "lasso", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return _fitted(ablation, fit, options, prior, bootstraps, limit, seed)


def ridge(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    alpha: Alpha = "auto",
    prior: Prior | None = None,
    bootstraps: int = 100,
    limit: int = 256,
    seed: int = 0,
) -> Attribution:
    """Weights of a linear surrogate with a squared penalty: they minimise `|y - b - X w|^2 + alpha |w|^2`.

    Options as for `lasso`; alpha "auto" has the least leave-one-out error, in closed form.
    """

    def fit(masks: Masks, outputs: Float[np.ndarray, " m"], t: int) -> Model:
        return ridge_model(masks, outputs, alpha, None if prior is None else prior[t])

    options = {"name": "ridge", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return _fitted(ablation, fit, options, prior, bootstraps, limit, seed)


def blend(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    prior: Prior | None = None,
    bootstraps: int = 100,
    limit: int = 256,
    seed: int = 0,
) -> Attribution:
    """The mean of `lasso` and `ridge` with their chosen penalties: steadier than either where a few effects are large."""

    def fit(masks: Masks, outputs: Float[np.ndarray, " m"], t: int) -> Model:
        return blend_model(masks, outputs, "auto", None if prior is None else prior[t])

    options = {"name": "blend", "n_ablations": n_ablations, "keep": keep}
    return _fitted(ablation, fit, options, prior, bootstraps, limit, seed)


def leave_one_out(ablation: Ablation, seed: int = 0) -> Attribution:
    """`values[t, i] = f_t(all) - f_t(all but i)`: what is lost when source i alone is removed. n + 1 ablations, exact.

    Two sources that say the same both score 0: either one suffices. `baseline` is `f(all) - sum of values`. stderr is that of a
    difference of two outputs where the ablation says how noisy they are (`Noisy`: retraining), else None.
    """
    outputs = ask(ablation, one_out_masks(len(ablation.sources)))
    values = (outputs[0] - outputs[1:]).T
    noise = noise_of(ablation)
    stderr = None if noise is None else np.repeat(2**0.5 * noise[:, None], values.shape[1], axis=1)
    return attribution(ablation, {"name": "leave-one-out"}, seed, values, outputs[0] - values.sum(axis=1), stderr)


def _fitted(
    ablation: Ablation, fit: FitTarget, options: dict[str, Any], prior: Prior | None, bootstraps: int, limit: int, seed: int
) -> Attribution:
    check_options(options, bootstraps, limit)
    shape = (len(ablation.targets), len(ablation.sources))
    if prior is not None and (prior.shape != shape or not np.isfinite(prior).all()):
        raise LlmattrError(f"the prior must be finite numbers for targets and sources {shape}, not {prior.shape}")

    agreement: dict[int, float] = {}

    def assess(masks: Masks, outputs: Float[np.ndarray, " m"], t: int) -> Fitted:
        if prior is not None:
            agreement[t] = rank_correlation(masks @ prior[t], outputs)
        return assessed(fit(masks, outputs, t), masks, outputs, bootstraps, seed)

    fits, record = draw(ablation, assess, options["n_ablations"], options["keep"], limit, seed)
    record["alpha"] = alphas_of([f.model for f in fits])
    if prior is not None:
        record["around_prior"] = [f.model.around_prior for f in fits]
        record["prior_agreement"] = [agreement[t] for t in sorted(agreement)]  # rank correlation with the exact outputs
    return attribution_of(ablation, options, seed, fits, record)


def check_options(options: dict[str, Any], bootstraps: int, limit: int) -> None:
    """Raise `LlmattrError` for options that are out of bounds."""
    check_number("n_ablations", options["n_ablations"], 2, whole=True, words=["auto"])
    check_number("alpha", options.get("alpha", "auto"), 0, words=["auto"])
    check_number("bootstraps", bootstraps, 0, whole=True)
    check_number("limit", limit, FIRST_ROUND, whole=True)
    if options["n_ablations"] == "auto" and bootstraps < 2:
        raise LlmattrError("n_ablations='auto' stops by the bootstrap errors: it needs bootstraps, 100 say")


def assessed(
    model: Model,
    masks: Masks | Columns,
    outputs: Float[np.ndarray, " m"],
    bootstraps: int,
    seed: int,
    values_of: Callable[[Any], Float[np.ndarray, " n"]] = lambda weights: weights,
    baseline: float | None = None,
) -> Fitted:
    """A model with its standard errors and its LDS; `values_of` turns its weights into scores, where they are not the same."""
    stderr = bootstrap_stderr(lambda rows: values_of(model.refit(rows))[None], len(masks), bootstraps, seed)
    return Fitted(
        model=model,
        values=values_of(model.weights),
        baseline=model.intercept if baseline is None else baseline,
        stderr=None if stderr is None else np.maximum(stderr[0], heldout_stderr(masks, model.errors)),
        lds=rank_correlation(model.predicted, outputs),
    )


def attribution_of(
    ablation: Ablation, options: dict[str, Any], seed: int, fits: list[Fitted], record: dict[str, Any]
) -> Attribution:
    """The attribution of all targets; errors that nobody asked for are nan, as those that are not known."""
    values = np.array([fit.values for fit in fits])
    errors = [fit.stderr for fit in fits if fit.stderr is not None]
    stderr = np.array(errors) if errors else np.full_like(values, np.nan)
    if errors:
        note_unknown(stderr)
    return attribution(
        ablation,
        options,
        seed,
        values,
        np.array([fit.baseline for fit in fits]),
        stderr,
        np.array([fit.lds for fit in fits]),
        record,
    )


def attribution(
    ablation: Ablation,
    options: dict[str, Any],
    seed: int,
    values: Float[np.ndarray, "t n"],
    baseline: Float[np.ndarray, " t"],
    stderr: Float[np.ndarray, "t n"] | None = None,
    lds: Float[np.ndarray, " t"] | None = None,
    record: dict[str, Any] | None = None,
) -> Attribution:
    """An `Attribution` to the ablation's sources, in its unit, with its record."""
    return Attribution(
        values=values,
        sources=ablation.sources,
        targets=ablation.targets,
        unit=UNITS.get(ablation.targets.measure, ablation.targets.measure),
        method=options,
        run={**ablation.record(), "seed": seed, **(record or {})},
        stderr=stderr,
        baseline=baseline,
        lds=lds,
    )
