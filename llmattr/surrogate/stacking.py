"""Known scores weighed by a few ablations: what each of them is worth, and what all of them miss, where that is clear."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation, ask, random_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number
from llmattr.surrogate.linear import AS_GOOD, ROUNDING, Problem, about_as_good
from llmattr.surrogate.ridge_fit import ridge_alphas, ridge_fits
from llmattr.surrogate.sampling import (
    Column,
    Estimate,
    Masks,
    assembled,
    columns_of,
    heldout_stderr,
    left_out_lds,
    note_unknown,
)

Priors = Float[np.ndarray, "k t n"]
Outputs = Float[np.ndarray, "m t"]
NOTHING = 1e-9  # of the outputs' variance: what is left of it by a prior that is right
PENALTIES = np.array([np.inf, *np.geomspace(10, 1e-9, 21)])  # of the mean squared column, the strongest first


class Weighed(NamedTuple):
    """The weights of the priors, and of each ablation the weights of a fit that did not see it."""

    weights: Float[np.ndarray, " k"]
    left_out: Float[np.ndarray, "m k"]


class Corrections(NamedTuple):
    """What each target adds to the priors, how far off fits are that did not see an ablation, and the penalty."""

    values: Float[np.ndarray, "t n"]
    errors: Outputs
    alpha: float


def stacked(ablation: Ablation, priors: Priors, n_ablations: int = 25, keep: float = 0.5, *, seed: int = 0) -> Attribution:
    """Scores `s = sum_k beta_k phi_k + delta`: the priors phi_k, weighed alike for all targets, and a target's own correction.

    For each target the sums of a prior's scores over the masks are scaled to deviation 1 (at keep 0.5 scores of length 2 have
    it), as are the outputs y [m, t] (s then back), and `y = a + masks @ s`. beta >= 0 by ridge with the least leave-one-out
    error of all targets together (stacking: Wolpert 1992; with weights of 0 or more: Breiman 1996). delta by ridge with one
    penalty for all, and 0 unless that clearly lowers this error. So few ablations weigh a few priors; without any this is
    ridge. stderr: as of a fit without priors (`heldout_stderr`). Raises `LlmattrError` for priors of another shape.

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ [[2.0], [-1.0], [0.0], [0.0]], 4)
    >>> (stacked(sums, np.array([[[20.0, -10.0, 0.0, 0.0]]]), 4).values.round(6) + 0.0).tolist()  # right up to its scale
    [[2.0, -1.0, 0.0, 0.0]]
    """
    check_number("n_ablations", n_ablations, 2, whole=True)
    n, t = len(ablation.sources), len(ablation.targets)
    if priors.shape[1:] != (t, n) or not np.isfinite(priors).all():
        raise LlmattrError(f"priors must be finite numbers [priors, {t} targets, {n} sources], not {priors.shape}")
    masks = random_masks(n_ablations, n, keep, seed)
    masks = masks[np.sort(np.unique(masks, axis=0, return_index=True)[1])]
    outputs = ask(ablation, masks)
    m, spread = len(masks), _spread(outputs)
    scaled = np.array([prior / _spread(masks @ prior.T)[:, None] for prior in priors]).reshape(priors.shape)
    columns = np.einsum("mn,ktn->mtk", masks - masks.mean(axis=0), scaled)
    standard = (outputs - outputs.mean(axis=0)) / spread
    beta = weights_of(columns, standard)
    own = _corrections(masks, standard - columns @ beta.weights)
    unseen = np.einsum("mtk,mk->mt", columns, beta.weights - beta.left_out) * m / max(m - 1, 1)
    values = (np.einsum("ktn,k->tn", scaled, beta.weights) + own.values) * spread[:, None]
    rows = zip(columns_of(outputs), values, columns_of((own.errors + unseen) * spread), strict=True)
    details = {"beta": beta.weights.tolist(), "alpha": own.alpha if np.isfinite(own.alpha) else None}
    estimates = [_estimate(masks, *row, details) for row in rows]
    note_unknown(estimates)
    method = {"name": "stacked", "n_ablations": n_ablations, "keep": keep}
    return assembled(ablation, method, {"seed": seed, "n_ablations": m}, estimates)


def _spread(outputs: Outputs) -> Float[np.ndarray, " t"]:
    """The deviation of each target's outputs; 1 where these are all the same but for rounding."""
    spread = outputs.std(axis=0)
    return np.where(spread > ROUNDING**0.5 * np.abs(outputs).max(axis=0), spread, 1.0)


def weights_of(columns: Float[np.ndarray, "m t k"], y: Outputs) -> Weighed:
    """Ridge weights of 0 or more, one of each prior for all targets, with the least pooled leave-one-out error.

    Columns and y have the mean 0 in each target. Without an ablation the sums of products are less its own times m / (m - 1).
    """
    m, _, k = columns.shape
    more = m / max(m - 1, 1)
    squares, products = np.einsum("mtk,mtl->mkl", columns, columns), np.einsum("mtk,mt->mk", columns, y)
    scale = max(float(np.trace(squares.sum(axis=0))) / max(k, 1), 1e-300)
    found, errors = [], []
    whole, total = squares.sum(axis=0), products.sum(axis=0)
    for penalty in PENALTIES * scale:
        each = [_at_least_0(whole - more * a, total - more * b, penalty) for a, b in zip(squares, products, strict=True)]
        found.append(Weighed(_at_least_0(whole, total, penalty), np.array(each).reshape(m, k)))
        errors.append(np.mean((more * (y - np.einsum("mtk,mk->mt", columns, found[-1].left_out))) ** 2))
    return found[int(np.argmax(np.array(errors) <= min(errors) * (1 + AS_GOOD) + ROUNDING))]


def _at_least_0(
    squares: Float[np.ndarray, "k k"], products: Float[np.ndarray, " k"], penalty: float
) -> Float[np.ndarray, " k"]:
    """The minimiser of `b' S b - 2 c' b + penalty |b|^2` over b >= 0 (Lawson and Hanson 1974)."""
    from scipy.optimize import nnls

    if not (np.isfinite(penalty) and len(products)):
        return np.zeros(len(products))
    root = np.linalg.cholesky(squares + penalty * np.eye(len(squares)))
    return nnls(root.T, np.linalg.solve(root, products))[0]


def _corrections(masks: Masks, y: Outputs) -> Corrections:
    """Ridge of each target with the penalty of the least pooled leave-one-out error; none where that is not clearly less."""
    alphas, columns = ridge_alphas(len(masks)), columns_of(y)
    rest = [(column.sum() - column) / max(len(column) - 1, 1) for column in columns]  # the means of the others
    problems = [Problem.of(masks.astype(float), column, None) for column in columns]
    fits = [ridge_fits(problem, alphas, others) for problem, others in zip(problems, rest, strict=True)]
    errors = np.stack([column - fit.predictions for column, fit in zip(columns, fits, strict=True)], axis=-1)  # [a, m, t]
    squares = np.nan_to_num((errors**2).mean(axis=-1), nan=np.inf)
    best = int(np.argmin(squares.mean(axis=1)))
    best = 0 if squares[0].mean() <= NOTHING or about_as_good(squares[0], squares[best]) else best
    return Corrections(np.array([fit.weights[best] for fit in fits]), errors[best], float(alphas[best]))


def _estimate(
    masks: Masks, outputs: Column, values: Float[np.ndarray, " n"], errors: Column, details: Mapping[str, object]
) -> Estimate:
    """One target's scores with the level that is right on average, and the errors of fits that did not see an ablation."""
    baseline = float(outputs.mean() - masks.mean(axis=0) @ values)
    return Estimate(values, baseline, heldout_stderr(masks, errors), left_out_lds(outputs, errors), details)
