"""LAVA: how much nearer each row brings the training data to the queries as a whole, by optimal transport."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.core.sources import Targets
from llmattr.errors import note
from llmattr.retraining.contract import OF_RUNS
from llmattr.retraining.grouping import rows_of, summed
from llmattr.retraining.transport import least_cost, potentials

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation

SMALLEST = 1e-12  # mean cost, where all rows and queries are alike
MEANING = "higher = more of such rows would bring the training data nearer to the queries; the lowest are far, or mislabelled"


@dataclass(frozen=True)
class Lava:
    """LAVA (Just et al. 2023, arXiv 2305.00054): how much nearer a row brings all the data to all queries; no model is trained.

    How far the data are from the queries is what it costs at least to move the ones to the others (optimal transport), where a
    row costs a query the distance of their hidden states (the given model's last before the completion, at unit length) and
    that of their completions: what it costs to move the rows with the one to the queries with the other. A value is the
    calibrated derivative by the row's mass with its sign turned: of the potentials f, `mean_{j != i} f_j - f_i`; values add up
    to 0. Of a source of several rows their mean. It is a value of the row itself, for all queries at once and whatever is
    trained, so nothing is cited.

    Cost: 0
    """

    name: ClassVar[str] = "lava"
    family: ClassVar[str] = "corroborative"
    ignores: ClassVar[tuple[str, ...]] = ("measure", "mean", *OF_RUNS)
    regularization: float = option(0.1, "weight of the transport plan's entropy, by the mean cost", least=1e-2)
    label_weight: float = option(1.0, "how much the distance of two completions counts beside that of two states")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """One target, the queries together; distances of hidden states for every source. Nothing is drawn with the seed."""
        from llmattr.retraining.methods.knn_shapley import completions, unit
        from llmattr.retraining.methods.linear_probe import features

        trainer, n = ablation.causal(self.name), len(ablation.sources)
        if trainer.recipe.start == "random":
            note("distances are of the hidden states of a model with random weights, which know only their tokens")
        near = unit(features(trainer.lm, trainer.rows)) @ unit(features(trainer.lm, trainer.queries)).T
        apart = np.sqrt(np.maximum(2 - 2 * near, 0.0))
        said, asked = (numbered(completions(part)) for part in (trainer.rows, trainer.queries))
        labels = label_distances(apart, said, asked, self.regularization)
        values = lava(apart + self.label_weight * labels, self.regularization)
        return Attribution(
            values=(summed(values, ablation.member, n) / np.bincount(ablation.member, minlength=n))[None],
            sources=ablation.sources,
            targets=Targets(["the queries together"], measure="similarity"),
            unit="distances of hidden states",
            method=describe(self),
            run={**ablation.record(), "seed": seed},
            cites=False,
            meaning=MEANING,
        )


def lava(cost: Float[np.ndarray, "n t"], regularization: float) -> Float[np.ndarray, " n"]:
    """`mean_{j != i} f_j - f_i` of the potentials f of n rows, which weigh the same; entropy weighs so many mean costs.

    >>> lava(np.array([[0.5], [1.5], [1.0]]), 0.1).round(9).tolist()
    [0.75, -0.75, 0.0]
    """
    n = len(cost)
    f, _ = potentials(cost, np.full(n, 1 / n), regularization * max(float(cost.mean()), SMALLEST))
    return (f.sum() - f) / (n - 1) - f if n > 1 else np.zeros(1)  # which nothing is compared with


def label_distances(
    apart: Float[np.ndarray, "n t"], said: Int[np.ndarray, " n"], asked: Int[np.ndarray, " t"], regularization: float
) -> Float[np.ndarray, "n t"]:
    """For each row and query what it costs to move the rows with the row's label to the queries with the query's."""
    entropy = regularization * max(float(apart.mean()), SMALLEST)
    ours, theirs = (rows_of(labels, int(labels.max()) + 1) for labels in (said, asked))
    between = np.array([[least_cost(apart[np.ix_(rows, queries)], entropy) for queries in theirs] for rows in ours])
    return between[np.ix_(said, asked)]


def numbered(labels: Sequence[tuple[int, ...]]) -> Int[np.ndarray, " n"]:
    """The number of each label, in the order in which they come.

    >>> numbered([(5,), (3, 1), (5,)]).tolist()
    [0, 1, 0]
    """
    place = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([place[label] for label in labels])
