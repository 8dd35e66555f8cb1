"""Circuits: what a part of the model does alone, for the parts that scores would keep."""

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation, ask
from llmattr.metrics.shapes import PerTarget, Scores
from llmattr.metrics.stats import top_k

KEPT = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # shares of all components, those of MIB
FAITHFULNESS = "faithfulness"  # the detail of an attribution that has a target's curve
Curve = Float[np.ndarray, "t s"]


def faithfulness(masks: Bool[np.ndarray, "m n"], ablation: Ablation) -> Float[np.ndarray, "m t"]:
    """`(f(mask) - f(none)) / (f(all) - f(none))` of each target: how much of what all components do these do alone.

    0 = as without any component, 1 = as the whole model; any number, nan where all components together do nothing. MIB,
    Mueller et al. 2025, arXiv 2504.13151, section 3.

    >>> from llmattr.ablation import from_function
    >>> faithfulness(np.array([[False, True]]), from_function(lambda masks: masks @ np.array([[3.0], [1.0]]), 2)).tolist()
    [[0.25]]
    """
    none, whole = ask(ablation, np.repeat([[False], [True]], masks.shape[1], axis=1))
    return (ask(ablation, masks, 2) - none) / np.where(whole == none, np.nan, whole - none)


def faithfulness_curve(values: Scores, ablation: Ablation, *, absolute: bool = False) -> Curve:
    """The `faithfulness` of each target's own circuits, of the shares `KEPT` of all n components.

    A circuit has the `int(share n)` components with the highest scores, or with the largest whatever their sign (`absolute`).

    >>> from llmattr.ablation import from_function
    >>> sums = from_function(lambda masks: masks @ np.array([[3.0], [1.0]]), 2)
    >>> faithfulness_curve(np.array([[3.0, 1.0]]), sums)[0, -2:].tolist()  # a half of the components, and all
    [0.75, 1.0]
    """
    t, n = values.shape
    place = np.argsort(top_k(np.abs(values) if absolute else values, n), axis=1)  # 0 = the highest
    masks = np.stack([place < int(share * n) for share in KEPT])
    found = faithfulness(masks.reshape(-1, n), ablation).reshape(len(KEPT), t, -1)
    return found[:, np.arange(t), np.arange(t)].T


def performance_ratio(curve: Curve) -> PerTarget:
    """CPR: the area under a faithfulness curve over the shares `KEPT`, by trapezoids; higher = more of what the model does.

    Of circuits of the highest scores; above 1 where they do better than the whole model. MIB, section 3.

    >>> performance_ratio(np.ones((1, len(KEPT)))).round(3).tolist()
    [0.999]
    """
    return np.trapezoid(curve, KEPT, axis=1)


def model_distance(curve: Curve) -> PerTarget:
    """CMD: the area between a faithfulness curve and 1 over the shares `KEPT`; 0 = every circuit does what the model does.

    Of circuits of the largest scores whatever their sign. MIB, section 3.

    >>> model_distance(np.ones((1, len(KEPT)))).tolist()
    [0.0]
    """
    return np.trapezoid(np.abs(1 - curve), KEPT, axis=1)
