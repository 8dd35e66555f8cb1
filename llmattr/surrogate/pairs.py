"""A surrogate that knows pairs: sources that say the same, and sources that work only together."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation
from llmattr.core.attribution import Attribution
from llmattr.errors import check_number
from llmattr.surrogate.fitting import Drawing, drawn, estimate_of
from llmattr.surrogate.lasso_fit import lasso_model
from llmattr.surrogate.linear import Alpha, Columns
from llmattr.surrogate.ridge_fit import ridge_model
from llmattr.surrogate.sampling import Column, Count, Estimate, Masks, Rows

Couples = list[tuple[int, int]]


def pairs(
    ablation: Ablation,
    n_ablations: Count = 64,
    keep: float = 0.5,
    alpha: Alpha = "auto",
    *,
    strongest: int = 8,
    bootstraps: int = 100,
    limit: int = 256,
    seed: int = 0,
) -> Attribution:
    """The lasso over sources and over products of two of the `strongest` sources (by ridge).

    With p = `keep` it fits `b + sum_i a_i (x_i - p) + sum_ij c_ij (x_i - p)(x_j - p)`. A score is the source's Shapley value in
    that polynomial, `a_i + (1/2 - p) sum_j c_ij`: its effect alone and half of each of its pairs' effects `c_ij x_i x_j`.
    `details["pairs"]` lists for each target (i, j, c_ij) where that is not zero: negative = either suffices, positive = they
    need each other. `baseline` is the polynomial without any source, so baseline and scores add up to it with all of them.
    Options as for `lasso`; the strongest sources are chosen again for every fold that is held out.
    """
    drawing = Drawing(n_ablations, keep, bootstraps, limit, seed)
    drawing.check(alpha)
    check_number("strongest", strongest, 0, whole=True)
    n = len(ablation.sources)

    def estimate(masks: Masks, outputs: Column, t: int) -> Estimate:
        def columns_of(rows: Rows) -> Columns:
            return _columns(masks - keep, _couples(masks[rows], outputs[rows], strongest))

        couples = _couples(masks, outputs, strongest)
        model = lasso_model(masks, outputs, alpha, columns_of=columns_of)
        shapley = _shapley(n, couples, keep)
        scored = model._replace(
            weights=shapley @ model.weights,
            intercept=model.intercept + float(_columns(np.full((1, n), -keep), couples)[0] @ model.weights),
            refit=lambda rows: shapley @ model.refit(rows),
        )
        return estimate_of(scored, masks, outputs, drawing, pairs=_listed(couples, model.weights[n:]))

    method = {"name": "pairs", "n_ablations": n_ablations, "keep": keep, "alpha": alpha, "strongest": strongest}
    return drawn(ablation, method, drawing, estimate)


def _couples(masks: Masks, outputs: Column, strongest: int) -> Couples:
    """The pairs among the strongest sources, in order."""
    n = masks.shape[1]
    if n <= strongest:
        return list(itertools.combinations(range(n), 2))
    weights = ridge_model(masks, outputs, "auto").weights
    top = np.sort(np.argsort(-np.abs(weights), kind="stable")[:strongest])
    return list(itertools.combinations(top.tolist(), 2))


def _columns(centred: Columns, couples: Couples) -> Float[np.ndarray, "m q"]:
    """The sources, and the product of each pair."""
    first, second = np.array(couples, dtype=int).reshape(-1, 2).T
    return np.concatenate([centred, centred[:, first] * centred[:, second]], axis=1)


def _shapley(n: int, couples: Couples, keep: float) -> Float[np.ndarray, "n p"]:
    """The matrix from the polynomial's coefficients to its Shapley values."""
    matrix = np.concatenate([np.eye(n), np.zeros((n, len(couples)))], axis=1)
    for column, couple in enumerate(couples, n):
        matrix[list(couple), column] = 0.5 - keep
    return matrix


def _listed(couples: Couples, effects: Column) -> list[list[Any]]:
    """The pairs of one target that have an effect, in order."""
    return sorted([i, j, float(effect)] for (i, j), effect in zip(couples, effects, strict=True) if effect)
