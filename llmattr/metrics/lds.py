"""The linear datamodeling score: do the scores predict ablations that they have not seen?"""

import numpy as np
from jaxtyping import Bool, Float

from llmattr.metrics.stats import spearman


def lds(
    values: Float[np.ndarray, "t n"], masks: Bool[np.ndarray, "m n"], outputs: Float[np.ndarray, "m t"]
) -> Float[np.ndarray, " t"]:
    """Rank correlation of each target's outputs under the masks with the sum of the scores that a mask keeps.

    `spearman(masks @ values[t], outputs[:, t])`: from -1 to 1, 1 = the order of the ablations is foretold, 0 = as random
    scores do in expectation. The masks must be others than those that a method was fitted on. Equal numbers share their
    average rank; nan where all sums or all outputs are equal (a score of 0 for every source foretells nothing).
    ContextCite, arXiv 2409.00729; TRAK, arXiv 2303.14186, definition 2.3.
    """
    return spearman(values @ masks.T.astype(float), outputs.T)
