"""Are the right sources cited, and only those?"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

PerTarget = Float[np.ndarray, " t"]


class Citation(NamedTuple):
    """Per target [t], from 0 to 1, higher is better; nan for a target without a gold source."""

    precision: PerTarget
    recall: PerTarget
    f1: PerTarget


def citation(cited: Bool[np.ndarray, "t n"], gold: Bool[np.ndarray, "t n"]) -> Citation:
    """`precision = |cited and gold| / |cited|`, `recall = |cited and gold| / |gold|`, `f1` their harmonic mean.

    A target for which nothing is cited has 0 in all three, as in ALCE (Gao et al. 2023, arXiv 2305.14627), where
    an entailment model says what is gold; here people did.
    """
    hits, n_cited = (cited & gold).sum(axis=1), cited.sum(axis=1)
    n_gold = np.where(gold.any(axis=1), gold.sum(axis=1), np.nan)
    # The harmonic mean of hits/cited and hits/gold.
    return Citation(hits / np.maximum(n_cited, 1) + 0 * n_gold, hits / n_gold, 2 * hits / (n_cited + n_gold))
