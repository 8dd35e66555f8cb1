"""Inner products of gradients at one or several checkpoints: grad-dot, grad-cos and TracIn."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.core.method import option
from llmattr.training.index.search import Weighed, inverse
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Measure, Normalize, Parameters, VectorKind

PARAMETERS = "whose gradients; auto: the head's, of an adapter its own"
NORMALIZE = (
    "divide gradients by the root of their second moments: optimizer's own, estimated from data, or none; steps: by the fourth "
    "root of Adam's, so that a product is what its step takes off"
)


@dataclass(frozen=True)
class GradDot:
    """`g_query . g_row`: what one step on the row takes off the query's loss, to first order.

    Cost: an index
    """

    name: ClassVar[str] = "grad-dot"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "inner products of gradients"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Nothing is added."""
        return Weighed(queries)


@dataclass(frozen=True)
class GradCos:
    """Cosine of the two gradients: as grad-dot, but long and surprising rows do not win by their size.

    Cost: an index
    """

    name: ClassVar[str] = "grad-cos"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "cosines of gradients"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    normalize: Normalize = option("none", NORMALIZE)
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length."""
        return Weighed(unit(queries), cosine=True)


@dataclass(frozen=True)
class TracIn:
    """`sum_c lr_c g_c,query . g_c,row` over checkpoints c: the loss that their steps took off (arXiv 2002.08484, eq. 1).

    That of SGD's steps. With `normalize="steps"` it is that of Adam's, `lr_c g_c,query' P_c g_c,row`, with the `P_c` of each
    checkpoint's optimizer.pt (`adam_roots`), momentum and decay aside.

    Cost: an index for each of `--checkpoints`
    """

    name: ClassVar[str] = "tracin"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "inner products of gradients"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    normalize: Normalize = option("none", NORMALIZE)
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Each checkpoint's learning rate; 1 where none is known."""
        return Weighed(queries * index.run.get("learning_rate", 1.0), added=True)


@dataclass(frozen=True)
class Less:
    """`sum_c lr_c cos(g_c,query, Adam's step on the row)` over checkpoints c of a warm-up (LESS, arXiv 2402.04333, 3.1).

    The step is `(b1 m + (1 - b1) g) / sqrt(v)`, g the row's gradient of its mean loss and m, v Adam's moments as each
    checkpoint's optimizer.pt has them (`--normalize optimizer`, as published). Where that is lost v is estimated from training
    rows ("data"), and the step is `g / sqrt(v)`. v is in its rank-one form, and what the row itself adds to it is left out.
    A question's gradient stays as it is.

    Cost: an index for each of `--checkpoints`
    """

    name: ClassVar[str] = "less"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "cosines of gradients and steps"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    of_steps: ClassVar[Literal[True]] = True
    retrieves_itself: ClassVar[bool] = True
    normalize: Literal["optimizer", "data"] = option("data", "the moments of each checkpoint's Adam, or estimated from data")
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """Both sides at unit length, times the checkpoint's learning rate; 1 where none is known."""
        return Weighed(unit(queries) * index.run.get("learning_rate", 1.0), cosine=True, added=True)


def unit(rows: Float[np.ndarray, "t d"]) -> Float[np.ndarray, "t d"]:
    """Rows at length 1; a row of zeros stays."""
    return rows * inverse(np.linalg.norm(rows, axis=1))[:, None]
