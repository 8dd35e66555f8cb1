"""KNN-Shapley: the exact Shapley values of the rows for a nearest-neighbour classifier on a model's hidden states."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.errors import note
from llmattr.retraining.contract import OF_RUNS
from llmattr.retraining.grouping import summed

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation
    from llmattr.text.rows import Examples


@dataclass(frozen=True)
class KnnShapley:
    """KNN-Shapley (Jia et al. 2019, arXiv 1908.08619) on the given model's hidden states; no model is trained.

    Neighbours are rows whose last hidden state before the completion is near (cosine) to the query's; what a set of rows is
    worth to a query is the share of its `k` nearest that have the query's completion. Exact for rows; of a source of several
    rows the sum. Nothing is drawn, so there is no error to state.

    Cost: 0
    """

    name: ClassVar[str] = "knn-shapley"
    family: ClassVar[str] = "game-theoretic"
    ignores: ClassVar[tuple[str, ...]] = ("measure", *OF_RUNS)
    k: int = option(5, "how many nearest rows have a say", least=1)

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Shares of the neighbours' vote, one row for each target of the ablation; they add up to the vote of all rows."""
        from llmattr.retraining.methods.linear_probe import features

        trainer = ablation.causal(self.name)
        if trainer.recipe.start == "random":
            note("neighbours are found by the hidden states of a model with random weights, which know only their tokens")
        near = unit(features(trainer.lm, trainer.queries)) @ unit(features(trainer.lm, trainer.rows)).T
        said, asked = completions(trainer.rows), completions(trainer.queries)
        agree = np.array([[row == query for row in said] for query in asked])
        if not agree.any(axis=1).all():
            number = int(np.argmin(agree.any(axis=1)))
            note(f"no row has the completion of query {number}: its values are all 0")
        values = summed(knn_shapley(1 - near, agree, self.k), ablation.member, len(ablation.sources))
        values = values.mean(axis=0, keepdims=True) if trainer.mean else values
        return Attribution(
            values=values,
            sources=ablation.sources,
            targets=dataclasses.replace(ablation.targets, measure="similarity"),
            unit="shares of the neighbours' vote",
            method=describe(self),
            run={**ablation.record(), "seed": seed},
            baseline=np.zeros(len(values)),
        )


def knn_shapley(distances: Float[np.ndarray, "t n"], agree: Bool[np.ndarray, "t n"], k: int) -> Float[np.ndarray, "t n"]:
    """Shapley values of n rows for each query, where a set is worth `sum of agree over its k nearest rows / k`.

    From the farthest row (i = n) to the nearest (i = 1): `s_n = agree_n / max(n, k)`, then
    `s_i = s_(i+1) + (agree_i - agree_(i+1)) / k * min(k, i) / i` (Jia et al. 2019, arXiv 1908.08619, theorem 1). Equally far
    rows keep their order.
    """
    order = np.argsort(distances, axis=1, kind="stable")
    votes = np.take_along_axis(agree, order, axis=1).astype(float)
    n = votes.shape[1]
    i = np.arange(1, n)
    steps = (votes[:, :-1] - votes[:, 1:]) / k * np.minimum(k, i) / i
    sums = np.cumsum(np.concatenate([votes[:, -1:] / max(n, k), steps[:, ::-1]], axis=1), axis=1)[:, ::-1]
    found = np.empty_like(sums)
    np.put_along_axis(found, order, sums, axis=1)
    return found


def unit(rows: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
    """The rows at length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def completions(examples: "Examples") -> list[tuple[int, ...]]:
    """The counted tokens of each example: the same completion is the same tokens."""
    return [tuple(np.asarray(ids)[counted].tolist()) for ids, counted in zip(examples.ids, examples.counted, strict=True)]
