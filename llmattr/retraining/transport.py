"""Optimal transport with entropy: what it costs to move one set of points to another, and what each point adds to that."""

import numpy as np
from jaxtyping import Float

from llmattr.errors import LlmattrError

STEPS = 20_000  # of Sinkhorn's algorithm
SETTLED = 1e-10  # the largest change of a potential, by the entropy's weight


def potentials(
    cost: Float[np.ndarray, "n m"], masses: Float[np.ndarray, " n"], entropy: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """f [n] and g [m], in the cost's unit, with which `masses . f + mean g` is what the transport costs at least.

    It is the least `<P, cost> + entropy KL(P | masses x 1/m)` of plans P from n points of these masses to m of mass 1/m, and f
    its derivative by the masses, up to a constant. Sinkhorn's algorithm in logarithms (Cuturi 2013, arXiv 1306.0895):
    `f_i = -entropy log mean_j exp((g_j - cost_ij) / entropy)`, and g by the masses likewise, in turn. Raises `LlmattrError`
    where they do not settle.
    """
    scaled, logs = cost / entropy, np.log(masses)[:, None]
    f = np.zeros(len(cost))
    for _ in range(STEPS):
        g = -np.logaddexp.reduce(f[:, None] - scaled + logs, axis=0)
        before, f = f, np.log(cost.shape[1]) - np.logaddexp.reduce(g - scaled, axis=1)
        if np.abs(f - before).max() <= SETTLED:
            return f * entropy, g * entropy
    raise LlmattrError(f"the transport has not settled after {STEPS} steps: take a larger --regularization")


def least_cost(cost: Float[np.ndarray, "n m"], entropy: float) -> float:
    """What it costs to move n points that weigh the same to m that do: their Wasserstein distance, for a small entropy.

    >>> round(least_cost(np.array([[0.0, 4.0], [1.0, 1.0]]), 1e-3), 3)  # and its entropy
    0.501
    """
    f, g = potentials(cost, np.full(len(cost), 1 / len(cost)), entropy)
    return float(f.mean() + g.mean())
