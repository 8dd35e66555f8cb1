"""Lasso, ridge and their blend on random masks: masks are drawn and asked, each target is fitted, and its scores are judged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation, ask, random_masks
from llmattr.core.attribution import Attribution
from llmattr.core.method import check_options, option
from llmattr.errors import LlmattrError
from llmattr.metrics.stats import bootstrap_stderr
from llmattr.surrogate.given import given_lasso
from llmattr.surrogate.lasso_fit import lasso_model
from llmattr.surrogate.linear import Alpha, Columns, Model, check_alpha, mean_model
from llmattr.surrogate.ridge_fit import ridge_model
from llmattr.surrogate.sampling import (
    Column,
    Count,
    Estimate,
    Masks,
    assembled,
    columns_of,
    heldout_stderr,
    note_unknown,
    rank_correlation,
)
from llmattr.surrogate.settling import FIRST_ROUND, until_settled

Prior = Float[np.ndarray, "t n"]
Scores = Float[np.ndarray, " n"]
Fit = Callable[[Masks, Column, Scores | None, int], Model]  # of one target: masks, outputs, prior and number
N_ABLATIONS = option(
    64, "random subsets of the sources to score; more is slower and steadier; auto: until scores are settled", least=2
)
KEEP = option(0.5, "chance that a subset keeps a source", below=1)
BOOTSTRAPS = option(100, "resamplings of the ablations for the standard errors; 0 for none, and nothing is cited")
LIMIT = option(256, "the most ablations that auto takes", least=FIRST_ROUND)


@dataclass(frozen=True)
class Drawing:
    """How many masks are drawn, how many sources they keep, and how often they are drawn again for the errors."""

    n_ablations: Count = N_ABLATIONS
    keep: float = KEEP
    bootstraps: int = BOOTSTRAPS
    limit: int = LIMIT
    seed: int = option(0, "of the masks and the bootstrap", below=2**32)

    def check(self, alpha: Alpha = "auto") -> None:
        """Raise `LlmattrError` for options that are out of bounds, and for such a penalty."""
        check_options(self)
        check_alpha(alpha)
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
    `n_ablations`: how many masks, or "auto": up to `limit` (see `until_settled`). `prior` [t, n]: scores from elsewhere, around
    which the fit is made: `w = s prior + d` with s free and d penalised; "auto" may also choose the prior alone (d = 0) or no
    prior. stderr by bootstrap over the ablations, and at least that of `heldout_stderr`; nan, so that nothing is cited, with
    fewer than two `bootstraps` and for a source that no ablation removed or none kept. ContextCite (Cohen-Wang et al. 2024,
    arXiv 2409.00729, section 3) is this with a given alpha and `scale` = each target's token count.

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ [[2.0], [-1.0], [0.0]], 3)
    >>> np.allclose(lasso(sums, alpha=0.001).values, [[2.0, -1.0, 0.0]], atol=0.01)
    True
    """

    def fit(masks: Masks, outputs: Column, prior: Scores | None, t: int) -> Model:
        if alpha == "auto":
            return lasso_model(masks, outputs, "auto", prior)
        return given_lasso(masks, outputs, alpha, 1.0 if scale is None else float(scale[t]), prior)

    method = {"name": "lasso", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return _surrogate(ablation, method, fit, Drawing(n_ablations, keep, bootstraps, limit, seed), prior=prior, alpha=alpha)


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

    def fit(masks: Masks, outputs: Column, prior: Scores | None, t: int) -> Model:
        return ridge_model(masks, outputs, alpha, prior)

    method = {"name": "ridge", "n_ablations": n_ablations, "keep": keep, "alpha": alpha}
    return _surrogate(ablation, method, fit, Drawing(n_ablations, keep, bootstraps, limit, seed), prior=prior, alpha=alpha)


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

    def fit(masks: Masks, outputs: Column, prior: Scores | None, t: int) -> Model:
        return mean_model(lasso_model(masks, outputs, "auto", prior), ridge_model(masks, outputs, "auto", prior))

    method = {"name": "blend", "n_ablations": n_ablations, "keep": keep}
    return _surrogate(ablation, method, fit, Drawing(n_ablations, keep, bootstraps, limit, seed), prior=prior)


def _surrogate(
    ablation: Ablation, method: dict[str, Any], fit: Fit, drawing: Drawing, *, prior: Prior | None, alpha: Alpha = "auto"
) -> Attribution:
    """Each target's fit, around its prior where there is one, on masks that are drawn so."""
    drawing.check(alpha)
    shape = (len(ablation.targets), len(ablation.sources))
    if prior is not None and not (prior.shape == shape and np.isfinite(prior).all()):
        raise LlmattrError(f"the prior must be finite numbers for targets and sources {shape}, not {prior.shape}")

    def estimate(masks: Masks, outputs: Column, t: int) -> Estimate:
        if prior is None:
            return estimate_of(fit(masks, outputs, None, t), masks, outputs, drawing)
        model, agreement = fit(masks, outputs, prior[t], t), rank_correlation(masks @ prior[t], outputs)
        return estimate_of(model, masks, outputs, drawing, around_prior=model.around_prior, prior_agreement=agreement)

    return drawn(ablation, method, drawing, estimate)


def drawn(
    ablation: Ablation, method: dict[str, Any], drawing: Drawing, estimate: Callable[[Masks, Column, int], Estimate]
) -> Attribution:
    """The attribution that these masks give, by an estimate from the masks, the outputs and the number of each target."""
    if drawing.n_ablations == "auto":
        estimates, record = until_settled(ablation, estimate, drawing.keep, drawing.limit, drawing.seed)
    else:
        masks = random_masks(drawing.n_ablations, len(ablation.sources), drawing.keep, drawing.seed)
        outputs = columns_of(ask(ablation, masks))
        estimates = [estimate(masks, column, t) for t, column in enumerate(outputs)]
        record = {"seed": drawing.seed, "n_ablations": len(masks)}
    if drawing.bootstraps > 1:
        note_unknown(estimates)
    return assembled(ablation, method, record, estimates)


def estimate_of(model: Model, columns: Masks | Columns, outputs: Column, drawing: Drawing, **details: object) -> Estimate:
    """A model's weights and intercept with their errors (nan where none were asked for), its LDS and its penalty."""
    spread = bootstrap_stderr(lambda rows: model.refit(rows)[None], len(columns), drawing.bootstraps, drawing.seed)
    unknown = np.full_like(model.weights, np.nan)
    return Estimate(
        values=model.weights,
        baseline=model.intercept,
        stderr=unknown if spread is None else np.maximum(spread[0], heldout_stderr(columns, model.errors)),
        lds=rank_correlation(model.predicted, outputs),
        # None is an infinite penalty, which leaves the prior alone or nothing.
        details={"alpha": model.alpha if np.isfinite(model.alpha) else None, **details},
    )
