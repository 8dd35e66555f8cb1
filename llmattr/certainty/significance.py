"""Can a mean over runs be told from 0: the t-test, the share of false findings, and how many runs it takes."""

import math

import numpy as np
from jaxtyping import Float

from llmattr.core.citing import FALSE
from llmattr.errors import check_number

POWER = 0.8  # chance to find what is there that is wanted
CLEAR = 1000.0  # signal to noise, of which two runs are enough however little of it is true


def t_test(values: Float[np.ndarray, "r *pairs"]) -> Float[np.ndarray, "*pairs"]:
    """Two-sided p-values of "the mean over runs is 0": `t = sqrt(r) mean / deviation`, r - 1 degrees of freedom (Student 1908).

    The published code of Nguyen et al. 2023 (arXiv 2305.19765) leaves the square root of r out, and then finds hardly anything.
    Where all runs are equal p is 0, or 1 where they are 0.
    """
    from scipy.stats import t

    r, mean, deviation = len(values), values.mean(axis=0), values.std(axis=0, ddof=1)
    size = np.abs(mean) * math.sqrt(r)
    size = np.divide(size, deviation, out=np.where(size > 0, np.inf, 0.0), where=deviation > 0)
    return 2 * t.sf(size, r - 1)


def benjamini_hochberg(p_values: Float[np.ndarray, "*pairs"]) -> Float[np.ndarray, "*pairs"]:
    """q-values over all pairs: of those with q <= 0.05 no more than 5 % are false, on average (Benjamini and Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(p_values.ravel()).reshape(p_values.shape)


def power_of(snr: float, runs: int, level: float = FALSE) -> float:
    """The chance that the t-test of so many runs finds a mean of `snr` deviations: the noncentral t with `snr sqrt(runs)`."""
    from scipy.stats import t

    check_number("runs", runs, 2, whole=True)
    return _beyond(float(t.isf(level / 2, runs - 1)), abs(snr), runs)


def true_snr(seen: float, runs: int) -> float:
    """The signal to noise of which so many runs show more than `seen` half of the time: 0 where noise alone shows as much.

    What few runs show is too high, of noise alone 0.5 for three: the median-unbiased estimate, by the noncentral t. What is
    above 1,000 is taken as it is.
    """
    from scipy.optimize import root_scalar

    check_number("runs", runs, 2, whole=True)
    bound = seen * math.sqrt(runs)
    if seen > CLEAR:
        return seen
    if _beyond(bound, 0.0, runs) >= 0.5:
        return 0.0
    return root_scalar(lambda snr: _beyond(bound, snr, runs) - 0.5, bracket=(0.0, seen)).root


def _beyond(bound: float, snr: float, runs: int) -> float:
    """The chance that |t| of so many runs is above this."""
    from scipy.stats import nct

    shift = snr * math.sqrt(runs)
    return float(nct.sf(bound, runs - 1, shift) + np.nan_to_num(nct.cdf(-bound, runs - 1, shift)))  # scipy's nan of what is ~0


def runs_needed(snr: float, power: float = POWER, level: float = FALSE) -> int | None:
    """The fewest runs in which the t-test finds a mean of `snr` deviations with this chance; None where it is 0.

    The normal test never needs more than the t-test: the search goes up from `((z_{level / 2} + z_power) / snr)^2`.
    """
    from scipy.stats import norm

    check_number("power", power, 0.5, 1)
    check_number("level", level, 1e-12, 0.5)
    if snr == 0:
        return None
    runs = max(2, math.ceil(((norm.isf(level / 2) + norm.ppf(power)) / snr) ** 2))
    while power_of(snr, runs, level) < power:
        runs += 1
    return runs
