"""Beta Shapley: Shapley's value with more mass on small sets of others, or on large ones; every mask serves every source."""

import numpy as np

from llmattr.ablation import Ablation
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, check_number, note
from llmattr.surrogate.regression import Rows, regressed
from llmattr.surrogate.sampling import ENOUGH, Estimate, ask_once, assembled, columns_of
from llmattr.surrogate.semivalues import beta_sizes, enumerated, judged_by, level
from llmattr.surrogate.sized import least_variance, size_coefficients, sized_masks


def beta_shapley(
    ablation: Ablation, n_ablations: int = 256, alpha: float = 16.0, beta: float = 1.0, seed: int = 0
) -> Attribution:
    """Beta(alpha, beta) Shapley values: `sum_k p_k * mean over sets S of k others of (f(S and i) - f(S))`, p = `beta_sizes`.

    Beta(1, 1) is Shapley's; a large alpha makes small sets count, where an effect stands out most (16, 1 is Kwon and Zou's own
    choice, 2022, arXiv 2110.14049), a large beta large ones. The values do not add up to f(all) - f(none) but for (1, 1).
    `baseline` is right on average where a share ~ Beta(beta, alpha) of the sources is kept.

    Exact where 2^n <= `n_ablations`. Else sizes of masks are drawn with the shares of least variance (a size for whose masks
    its share suffices is taken whole), and a value is its weight in a regression, plus the weighted sum of what fits leave
    that did not see the mask: without bias, and exact where sources only add (`regressed`). stderr: nan where fewer than 4
    are drawn.
    """
    n = len(ablation.sources)
    check_number("n_ablations", n_ablations, 4, whole=True)
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 < value < np.inf:
            raise LlmattrError(f"{name} must be a number above 0, not {value!r}")
    check_number("seed", seed, 0, 2**32, whole=True)
    method = {"name": "beta-shapley", "n_ablations": n_ablations, "alpha": alpha, "beta": beta}
    sizes, law = beta_sizes(n, alpha, beta), beta_sizes(n + 1, alpha, beta)
    if n < 31 and 2**n <= n_ablations:
        return enumerated(ablation, sizes, judged_by(law), method, seed)
    asked = sized_masks(n_ablations, n, least_variance(sizes), seed)
    masks, drawn = asked.masks, asked.drawn
    rows = Rows(asked, masks.astype(float), size_coefficients(masks, sizes, asked.stands), level=True)
    if drawn.sum() < ENOUGH:
        note(f"{drawn.sum()} drawn ablations are too few for errors: without an error nothing is cited; take more")
    estimates = []
    for column in columns_of(ask_once(ablation, masks)):
        found = regressed(rows, column)
        baseline = level(masks, column, found.values, law[masks.sum(axis=1)] * asked.stands)
        estimates.append(Estimate(found.values, baseline, found.stderr))
    record = {"seed": seed, "n_ablations": len(np.unique(masks, axis=0)), "estimator": "sample"}
    return assembled(ablation, method, record, estimates)
