"""Is it so, what an attribution promises, when one acts on it?"""

import numpy as np
from jaxtyping import Float

from llmattr.metrics.shapes import PerTarget

Outputs = Float[np.ndarray, "m t"]


def counterfactual_error(predicted: Outputs, seen: Outputs) -> PerTarget:
    """`mean_m |predicted - seen|`: how far off the outputs are that an attribution foretells under m masks.

    In the outputs' unit, 0 or more, LOWER is better. `predicted` is `baseline + masks @ values.T` (`Attribution.predict`); the
    masks must be others than those that it was fitted on. Datamodels (Ilyas et al. 2022, arXiv 2202.00622), of removals.

    >>> counterfactual_error(np.array([[1.0], [2.0]]), np.array([[1.5], [1.0]])).tolist()
    [0.75]
    """
    return np.abs(predicted - seen).mean(axis=0)


def brittleness_hits(before: PerTarget, after: PerTarget, threshold: float = 0.0) -> PerTarget:
    """1 where a removal brought the target below the threshold (`after < threshold <= before`), else 0; its mean: the hit rate.

    Higher is better: the sources that were removed carried the answer. `before` has all sources, `after` is without those that
    the method names; methods are compared at the same number of them. nan where the target was below before. In log-odds the
    threshold 0 is an answer that is less likely than not. Datamodels (Ilyas et al. 2022, arXiv 2202.00622: data support).

    >>> brittleness_hits(np.array([2.0, 2.0, -1.0]), np.array([-1.0, 1.0, -2.0])).tolist()
    [1.0, 0.0, nan]
    """
    return np.where(before >= threshold, (after < threshold).astype(float), np.nan)


def tail_patch(before: PerTarget, after: Float[np.ndarray, "t k"]) -> PerTarget:
    """`mean_k exp(after) - exp(before)`: how much one step on a chosen row makes the target likelier, mean over the k rows.

    Both are log-probabilities in nats: `after` that of the model after one training step on row k alone, each from the same
    model, `before` without a step. From -1 to 1, higher is better; small steps, and rows of the same number k, are comparable:
    state the checkpoint and the step with it. TrackStar (Chang et al. 2024, arXiv 2410.17413).
    """
    return (np.exp(after) - np.exp(before)[:, None]).mean(axis=1)
