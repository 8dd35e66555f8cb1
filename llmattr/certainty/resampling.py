"""How far a statistic of m rows would move with other rows: jackknife and infinitesimal jackknife (bootstrap: `metrics`)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import check_number

Numbers = Float[np.ndarray, "..."] | float
STEP = 1e-3  # of the way from all rows to one of them; both ways, so that what is neglected is its square


def jackknife(statistic: Callable[[Int[np.ndarray, " k"]], Numbers], m: int) -> Numbers:
    """The variance of a statistic of m rows, from its values without each: `(m - 1) / m * sum (s_(-i) - mean)^2` (Tukey 1958).

    `statistic` takes the numbers of the rows that are left. Of a mean it is the variance over m, exactly.
    """
    check_number("rows", m, 2, whole=True)
    every = np.arange(m)
    return (m - 1) * np.stack([statistic(np.delete(every, i)) for i in range(m)]).var(axis=0)


def infinitesimal_jackknife(statistic: Callable[[Float[np.ndarray, " m"]], Numbers], m: int) -> Numbers:
    """The variance of a statistic of weighted rows: `sum U_i^2 / m^2`, U_i its slope towards row i alone (Jaeckel 1972).

    `statistic` takes weights that add up to 1. The slopes are differences of a thousandth both ways. Of a mean it is
    `(m - 1) / m` of the jackknife's.
    """
    check_number("rows", m, 2, whole=True)
    even, ways = np.full(m, 1 / m), np.eye(m) - 1 / m
    slopes = np.stack([statistic(even + STEP * way) - statistic(even - STEP * way) for way in ways]) / (2 * STEP)
    return (slopes**2).sum(axis=0) / m**2
