"""What is measured of runs that should say the same."""

import numpy as np
from jaxtyping import Float

from eval.harness.contract import PerUnit
from llmattr.certainty.stability import MEASURES, stability

NOGUEIRA = "nogueira"
BEST = 3  # sources of each target that are compared as a set


def agreement(runs: Float[np.ndarray, "r t n"], of: str) -> dict[str, PerUnit]:
    """Of each target how far its r runs agree, by every measure: means over all pairs of runs, and Nogueira's index.

    `of`: what the runs differ by, which the measures are named after. nan where a run gives all sources the same score.
    """
    each = [_measured(runs[:, t : t + 1]) for t in range(runs.shape[1])]
    return {f"{name}, {of}": np.array([one[name] for one in each]) for name in (*MEASURES, NOGUEIRA)}


def _measured(runs: Float[np.ndarray, "r 1 n"]) -> dict[str, float]:
    """Of one target."""
    if not np.ptp(runs, axis=2).all():
        return dict.fromkeys((*MEASURES, NOGUEIRA), np.nan)
    found = stability([*runs], min(BEST, runs.shape[2] - 1))
    return {**{name: found.mean(name)[0] for name in MEASURES}, NOGUEIRA: found.index[0].mean}
