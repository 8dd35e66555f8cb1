"""What a training method is: one of four Protocols, told apart by the verb, which says where its scores come from.

Notation: a row z_i and a query z_q of t queries, theta the tracked weights (d of them, or D numbers of each row in an index),
f(z) the measured output, g(z) = df/dtheta. Every method returns scores [t, n] for n rows, positive = the row made the query
likelier.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.method import find_method
from llmattr.errors import LlmattrError, did_you_mean
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.project import Bases
from llmattr.training.index.search import Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Normalize

Layers = dict[str, torch.nn.Module]  # the tracked linear layers by name
Transform = Callable[[str, torch.Tensor], torch.Tensor]  # of a layer's gradients [t, i, o]


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass whose fields are the hyper-parameters (`option`).

    `name` is that of the command line and of records, `family` the field's name for its kind ("predictive" looks into the
    model, "corroborative" compares what is there), `unit` what its scores are in.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    unit: ClassVar[str]


@runtime_checkable
class IndexMethod(Method, Protocol):
    """Products with the rows of an index that is built once: `tau(z_q, z_i) = q' phi(z_i)`, q from phi(z_q).

    `vectors` says what a row phi(z) [D] holds: "gradients" (`P' g(z)`, P the projection: TRAK, arXiv 2303.14186, equation 13),
    "hidden states" or "embeddings". `measure` is f: over the counted tokens the sum of -log p ("loss") or of log(p / (1 - p))
    ("margin").
    """

    vectors: ClassVar[Literal["gradients", "hidden states", "embeddings"]]
    measure: ClassVar[Literal["loss", "margin"]]

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t D"]) -> Weighed:
        """What rows are multiplied with: the queries' phi [t, D], preconditioned; as a cosine or not; a factor of each row."""
        ...


@runtime_checkable
class StreamMethod(Method, Protocol):
    """Products of whole gradients, layer by layer, as training rows pass: `tau = sum_l <H_l^-1 g_l(z_q), g_l(z_i)>`.

    `rank`: singular directions kept of a query's side, 0 = all. `product`: "dot", or "cosine" of both sides.
    """

    measure: ClassVar[Literal["loss", "margin"]]

    @property
    def rank(self) -> int:
        """Singular directions kept of each query's gradient in each layer; 0 = all."""
        ...

    @property
    def product(self) -> str:
        """ "dot", or "cosine"."""
        ...

    def fit(self, lm: LM, examples: Examples, layers: Layers, seed: int) -> Bases:
        """What is fitted on training rows before any query, by name (eigenvectors, eigenvalues); nothing where nothing is."""
        ...

    def transform(self, fitted: Bases, groups: dict[str, str]) -> Transform:
        """`H_l^-1` of the queries' gradients [t, i, o] of a layer; `groups`: the layer that each shares inputs with."""
        ...


@runtime_checkable
class WholeMethod(Method, Protocol):
    """`tau = <H^-1 g(z_q), g(z_i)>` with H over all tracked weights at once: for small models."""

    measure: ClassVar[Literal["loss", "margin"]]

    def precondition(
        self, lm: LM, examples: Examples, layers: Layers, queries: Float[torch.Tensor, "t d"], seed: int
    ) -> Float[torch.Tensor, "t d"]:
        """`H^-1 g` of each query's whole gradient [t, d], H from the training examples."""
        ...


@runtime_checkable
class TextMethod(Method, Protocol):
    """Texts alone: the model is not asked."""

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Scores of every row's text for every query's."""
        ...


TrainingMethod = IndexMethod | StreamMethod | WholeMethod | TextMethod
VERBS = {"weigh": IndexMethod, "transform": StreamMethod, "precondition": WholeMethod, "retrieve": TextMethod}


@runtime_checkable
class Normalized(Protocol):
    """An index method whose gradients are divided by the root of their second moments."""

    @property
    def normalize(self) -> Normalize:
        """Where the moments come from: "data", "optimizer", or "none"."""
        ...


def normalization(method: Method) -> Normalize:
    """What the method's gradients are normalised with."""
    return method.normalize if isinstance(method, Normalized) else "none"


def find_training_method(method: object, methods: dict[str, type]) -> TrainingMethod:
    """`find_method`, of exactly one of the four kinds; raises `LlmattrError` for no verb, several, or a misspelt one."""
    found = find_method(method, methods, Method)
    has = [name for name in dir(found) if not name.startswith("_")]
    verbs = [verb for verb in VERBS if verb in has]
    if len(verbs) != 1:
        meant = next((hint for verb in VERBS if (hint := did_you_mean(verb, has))), "")
        raise LlmattrError(
            f"a training method has one of the verbs {', '.join(VERBS)}; {type(found).__name__} has "
            f"{' and '.join(verbs) or 'none'}{meant}"
        )
    return find_method(found, methods, VERBS[verbs[0]])
