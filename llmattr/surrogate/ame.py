"""The average marginal effect: what a source adds to others that are kept at several rates, by a sparse fit."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from llmattr.ablation import Ablation, random_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number
from llmattr.surrogate.fitting import Drawing, estimate_of
from llmattr.surrogate.lasso_fit import lasso_model
from llmattr.surrogate.linear import Alpha, Columns
from llmattr.surrogate.sampling import ask_once, assembled, columns_of, note_unknown
from llmattr.surrogate.semivalues import banzhaf_sizes, enumerated, judged_by, level


def ame(
    ablation: Ablation,
    n_ablations: int = 256,
    keeps: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    alpha: Alpha = "auto",
    *,
    bootstraps: int = 100,
    seed: int = 0,
) -> Attribution:
    """Average marginal effects: the mean over the rates p in `keeps` of the p-weighted Banzhaf value (Lin et al. 2022).

    arXiv 2206.10013. Each rate has as many masks; each mask keeps every source with the chance of its rate. Exact where 2^n <=
    `n_ablations`, else a lasso of the outputs on the masks, both less their means at that rate, every mask weighing
    `1 / (p (1 - p))` (on average 1). The paper's features `1/p` (kept) and `-1/(1-p)` (removed) are `(mask - p) / (p (1 - p))`,
    so without a penalty both estimate the same; this one is exact where sources only add, which the paper's is not, as its
    outputs also vary with the rate. `alpha`: the penalty, or "auto" (see `lasso`). stderr by bootstrap. LDS: within the rates.
    """
    n = len(ablation.sources)
    method = {"name": "ame", "n_ablations": n_ablations, "keeps": list(keeps), "alpha": alpha}
    drawing = Drawing(n_ablations, bootstraps=bootstraps, seed=seed)
    drawing.check(alpha)
    if not keeps or not all(0 < keep < 1 for keep in keeps):
        raise LlmattrError(f"keeps must be chances between 0 and 1 that a source stays, not {keeps!r}")
    check_number("n_ablations", n_ablations, 2 * len(keeps), whole=True)
    if n < 31 and 2**n <= n_ablations:
        sizes = np.mean([banzhaf_sizes(n, keep) for keep in keeps], axis=0)
        law = np.mean([banzhaf_sizes(n + 1, keep) for keep in keeps], axis=0)
        return enumerated(ablation, sizes, judged_by(law), method, seed)
    rates = np.resize(np.array(keeps, dtype=float), n_ablations)
    masks = np.empty((n_ablations, n), dtype=bool)
    for k, keep in enumerate(keeps):
        masks[k :: len(keeps)] = random_masks(n_ablations, n, keep, seed)[k :: len(keeps)]
    outputs = ask_once(ablation, masks)
    weights = 1 / (rates * (1 - rates))
    columns = _within(masks.astype(float), rates, weights)
    estimates = []
    for column in columns_of(outputs):
        y = _within(column[:, None], rates, weights)[:, 0]
        model = lasso_model(masks, y, alpha, columns_of=lambda rows: columns)
        none = level(masks, column, model.weights, 1 / np.bincount(_number(rates))[_number(rates)])
        estimates.append(estimate_of(model._replace(intercept=none), columns, y, drawing))
    record = {"seed": seed, "n_ablations": n_ablations, "estimator": "sample"}
    if bootstraps > 1:
        note_unknown(estimates)
    return assembled(ablation, method, record, estimates)


def _number(rates: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """The number of each ablation's rate."""
    return np.unique(rates, return_inverse=True)[1].reshape(-1)


def _within(x: Columns, rates: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"]) -> Columns:
    """Columns less their means at each rate, times the roots of the weights: least squares with a level for each rate."""
    number = _number(rates)
    means = np.array([x[number == k].mean(axis=0) for k in range(number.max() + 1)])
    return (x - means[number]) * np.sqrt(weights / weights.mean())[:, None]
