"""What is lost without the sources with the highest scores, and what they are worth alone."""

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation, ask
from llmattr.errors import check_number
from llmattr.metrics.shapes import PerTarget, Scores
from llmattr.metrics.stats import top_k

Curve = Float[np.ndarray, "t n_plus_1"]


def top_k_masks(values: Scores, k: int) -> Bool[np.ndarray, "t n"]:
    """For each target, all sources but the k with its highest scores (equal scores: the first ones are taken)."""
    masks = np.ones(values.shape, dtype=bool)
    np.put_along_axis(masks, top_k(values, k), False, axis=1)
    return masks


def top_k_drop(values: Scores, ablation: Ablation, k: int = 1) -> PerTarget:
    """`f(all) - f(all but the target's top k)`: what the target loses without the sources said to matter most.

    In the ablation's unit, any range, higher = the sources mattered more; asks for t + 1 masks at most.
    ContextCite, arXiv 2409.00729 (there of log-probabilities; here of what the ablation measures).

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ [[2.0], [-1.0], [5.0]], 3)
    >>> top_k_drop(np.array([[2.0, -1.0, 5.0]]), sums, k=2).tolist()
    [7.0]
    """
    return deletion_curve(values, ablation, [k])[:, 0]


def deletion_curve(values: Scores, ablation: Ablation, counts: list[int] | None = None) -> Float[np.ndarray, "t k"]:
    """`f(all) - f(all but the target's top k)` for each k of `counts`, 0 to n where none are given.

    In the ablation's unit; a good order rises at once. Starts at 0 and ends at `f(all) - f(none)` whatever the order.
    RISE, Petsiuk et al. 2018, arXiv 1806.07421 (its deletion, counted as loss).
    """
    kept = _masks(values, counts)
    everything = ask(ablation, np.ones((1, values.shape[1]), dtype=bool))[0]
    return everything[:, None] - _own_outputs(kept, ablation)


def insertion_curve(values: Scores, ablation: Ablation, counts: list[int] | None = None) -> Float[np.ndarray, "t k"]:
    """`f(only the target's top k) - f(none)` for each k of `counts`, 0 to n where none are given.

    In the ablation's unit; a good order rises at once. Starts at 0 and ends at `f(all) - f(none)` whatever the order.
    RISE, Petsiuk et al. 2018, arXiv 1806.07421 (its insertion, counted from the empty set).
    """
    kept = ~_masks(values, counts)
    nothing = ask(ablation, np.zeros((1, values.shape[1]), dtype=bool))[0]
    return _own_outputs(kept, ablation) - nothing[:, None]


def curve_area(curve: Curve) -> PerTarget:
    """The area under a whole deletion or insertion curve, its width (0 to n sources) and its end both scaled to 1.

    Trapezoids: `(sum_{k<n} curve_k + curve_{k+1}) / (2 n curve_n)`. Higher is better; 1/2 for a random order where
    sources add up, above 1 where sources work against each other. nan where `curve_n = f(all) - f(none)` is not positive:
    there the sources together do not support the target, and no order of support is right.

    >>> curve_area(np.array([[0.0, 1.0, 1.0], [0.0, 0.5, 1.0]])).tolist()  # all at once, and evenly
    [0.75, 0.5]
    """
    end = curve[:, -1]
    area = (curve[:, 1:] + curve[:, :-1]).mean(axis=1) / 2
    return area / np.where(end > 0, end, np.nan)


def _masks(values: Scores, counts: list[int] | None) -> Bool[np.ndarray, "k t n"]:
    n = values.shape[1]
    place = np.argsort(top_k(values, n), axis=1)  # 0 = the highest
    for k in counts or ():
        check_number("k", k, 0, whole=True)
    return np.stack([place >= k for k in (range(n + 1) if counts is None else counts)])


def _own_outputs(masks: Bool[np.ndarray, "k t n"], ablation: Ablation) -> Float[np.ndarray, "t k"]:
    """The output of each target under its own masks."""
    k, t, n = masks.shape
    outputs = ask(ablation, masks.reshape(-1, n)).reshape(k, t, -1)
    return outputs[:, np.arange(t), np.arange(t)].T
