"""What a datamodel is for: predict a removal, find the smallest one that flips an answer, compare targets by their weights."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import Ablation, ask
from llmattr.errors import LlmattrError, check_number
from llmattr.metrics import top_k_masks

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution


class Counterfactual(NamedTuple):
    """What an attribution expects under some masks, and what was seen when models were trained on them: both [m, t]."""

    predicted: Float[np.ndarray, "m t"]
    seen: Float[np.ndarray, "m t"]

    @property
    def error(self) -> Float[np.ndarray, "m t"]:
        """How far off the prediction is, in the outputs' unit."""
        return np.abs(self.predicted - self.seen)


def counterfactual(attribution: "Attribution", ablation: Ablation, masks: Bool[np.ndarray, "m n"]) -> Counterfactual:
    """Predict the targets under each mask (`baseline + masks @ values`), then train on each and look."""
    return Counterfactual(attribution.predict(masks), ask(ablation, masks))


def verified(attribution: "Attribution", ablation: Ablation, k: int) -> dict[str, Any]:
    """A result's `verified`: of each target what is predicted, and seen, with all sources and without its k highest."""
    n, own = len(attribution.sources), np.arange(len(attribution.targets))
    everything = counterfactual(attribution, ablation, np.ones((1, n), dtype=bool))
    without = counterfactual(attribution, ablation, top_removals(attribution, min(k, n)))
    return {
        "removed": min(k, n),
        "all": {name: part[0].tolist() for name, part in everything._asdict().items()},
        "without": {name: part[own, own].tolist() for name, part in without._asdict().items()},
    }


def top_removals(attribution: "Attribution", k: int) -> Bool[np.ndarray, "t n"]:
    """For each target the mask without its k highest sources."""
    check_number("k", k, 0, len(attribution.sources) + 1, whole=True)
    return top_k_masks(attribution.values, k)


class Brittleness(NamedTuple):
    """For each target how many sources must go, -1 where no removal suffices, and the mask that is left of them."""

    sizes: Int[np.ndarray, " t"]
    masks: Bool[np.ndarray, "t n"]


def brittleness(attribution: "Attribution", threshold: float = 0.0) -> Brittleness:
    """The smallest removal that is predicted to bring each target below the threshold.

    Of an additive prediction it is that of the k highest positive scores (Ilyas et al. 2022, arXiv 2202.00622, section 4.2).
    With measure "logit" the threshold 0 is an answer that is less likely than not. `ablation(masks)` verifies it.
    """
    if attribution.baseline is None or attribution.index is not None:
        raise LlmattrError(f"{attribution.method['name']} predicts no removals: take datamodel")
    order = np.argsort(-attribution.values, axis=1, kind="stable")
    gone = np.maximum(np.take_along_axis(attribution.values, order, axis=1), 0.0)
    everything = attribution.baseline + attribution.values.sum(axis=1)
    left = everything[:, None] - np.concatenate([np.zeros((len(gone), 1)), gone.cumsum(axis=1)], axis=1)  # without the first k
    below = left < threshold
    sizes = np.where(below.any(axis=1), below.argmax(axis=1), -1)
    masks = np.ones(attribution.values.shape, dtype=bool)
    for t, size in enumerate(sizes):
        masks[t, order[t, : max(size, 0)]] = False
    return Brittleness(sizes, masks)


def embeddings(attribution: "Attribution", dimensions: int = 2) -> Float[np.ndarray, "t d"]:
    """Each target as a point: the principal components of the targets' weight vectors.

    Targets near to one another rest on the same sources (Ilyas et al. 2022, section 4.4).
    """
    from sklearn.decomposition import PCA

    check_number("dimensions", dimensions, 1, min(attribution.values.shape) + 1, whole=True)
    return PCA(dimensions, svd_solver="full").fit_transform(attribution.values)
