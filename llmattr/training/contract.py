"""What a training method is: a frozen dataclass of hyper-parameters with one of six verbs.

Notation: z_q is one of t queries, z_i one of n training rows; theta are the tracked weights, d numbers in layers l of [i, o];
f(z) is an example's measured output, g(z) = df/dtheta its gradient [d] and g_l(z) [i, o] a layer's. Every method is a score
tau [t, n], positive where the row made the query likelier:

    IndexMethod    weigh          tau(z_q, z_i) = q(z_q) . phi(z_i), phi(z) [D] a row of an index that is built once
    StreamMethod   transform      tau(z_q, z_i) = sum over l of <H_l^-1 g_l(z_q), g_l(z_i)>, as the rows pass the model again
    UnrolledMethod unroll         the same of several checkpoints c of one run, the later ones' steps between z_q and z_i:
                                  sum over c and l of <R_c,l S_c+1,l ... S_C,l g_C,l(z_q), g_c,l(z_i)>
    WholeMethod    precondition   tau(z_q, z_i) = (H^-1 g(z_q)) . g(z_i), H over all layers at once, for small models
    TextMethod     retrieve       tau(z_q, z_i) of the texts alone; as a KeepingMethod, of what it has kept of them on disk
    QuotingMethod  quote          the same by what of z_q stands word for word in z_i: no model, rows kept sorted on disk
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float

from llmattr.core.kinds import check_kind, public_names
from llmattr.core.method import Named, find_method
from llmattr.errors import LlmattrError, check_choice, check_number, did_you_mean
from llmattr.retrieval.verbatim import Quoted
from llmattr.text.rows import Examples
from llmattr.training.index.search import Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Measure, Normalize, Parameters, VectorKind

if TYPE_CHECKING:  # a question to texts alone waits for no torch
    import torch

    from llmattr.model.lm import LM
    from llmattr.training.gradients.flat import Transform
    from llmattr.training.gradients.layers import Layers
    from llmattr.training.gradients.project import Bases

Product = Literal["dot", "cosine"]


@runtime_checkable
class Method(Named, Protocol):
    """What all six have. `describe` makes of the name and the fields their record in run.json."""

    family: ClassVar[str]
    """What the field calls its kind: "predictive" asks the model's gradients, "corroborative" compares what is there,
    "reference" knows nothing (a baseline)."""

    unit: ClassVar[str]
    """What its scores are in, a plural: "inner products of gradients"."""

    measure: ClassVar[Measure]
    """f, a sum over an example's counted tokens: of `-log p` ("loss"), or of `log(p / (1 - p))` ("margin")."""


@runtime_checkable
class IndexMethod(Method, Protocol):
    """`tau(z_q, z_i) = q(z_q) . phi(z_i)`: products with the rows of an index, which is built once and asked often.

    TRAK, for one: `phi(z) = P' g(z)`, `q(z_q) = (Phi' Phi)^-1 phi(z_q)` with Phi [n, D] all rows, and each row's `1 - p_i` as a
    factor (arXiv 2303.14186, equation 17).
    """

    vectors: ClassVar[VectorKind]
    """What phi(z) [D] is: projected "gradients"; "hidden states" (or "weighted" ones) of the field `layer`; "embeddings" of the
    field `encoder`."""

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t D"]) -> Weighed:
        """From the queries' phi(z_q) [t, D] to q(z_q) [t, D], and to what else a score is made of.

        `index` gives the rows' second moment `Phi' Phi / n` [D, D], and run.json. The answer says whether a product is divided
        by the row's length (`cosine`), by that of `phi(z_i) W` (`root` W [D, D]), and what each row's scores are multiplied
        with (`outer` [n]).
        """
        ...


@runtime_checkable
class Normalized(Protocol):
    """An index method of gradients that are divided by the root of their second moments, as Adam does."""

    @property
    def normalize(self) -> Normalize:
        """Where the second moments come from: the "optimizer", training "data", or "none": not divided.

        "steps": the optimizer's, and divided by their fourth root: a product is what its step on the row takes off.
        """
        ...


@runtime_checkable
class Stepwise(Normalized, Protocol):
    """A normalized method whose rows alone are: Adam's steps on them, which questions meet with their gradients as they are."""

    of_steps: ClassVar[Literal[True]]
    """Says so; with the optimizer's moments its momentum is in the steps."""


def has_momentum(method: object) -> bool:
    """Whether its rows have the momentum of the optimizer whose steps they are."""
    return isinstance(method, Stepwise) and method.normalize == "optimizer"


@runtime_checkable
class Grouped(Protocol):
    """A method of gradients that says of which parameters they are."""

    @property
    def parameters(self) -> Parameters:
        """Groups of parameters; auto: the head, of an adapter its own layers."""
        ...


def parameters_of(method: object) -> Parameters:
    """The parameters whose gradients a method takes: the blocks', where it says nothing."""
    return method.parameters if isinstance(method, Grouped) else "blocks"


@runtime_checkable
class StreamMethod(Method, Protocol):
    """`tau(z_q, z_i) = sum over l of <H_l^-1 g_l(z_q), g_l(z_i)>`: whole gradients, as training rows pass the model again.

    EK-FAC, for one: `H_l = (U_A x U_S) diag(L) (U_A x U_S)' + damping` (arXiv 1806.03884). A method without curvature fits
    nothing and transforms nothing.
    """

    @property
    def rank(self) -> int:
        """Singular directions that are kept of each query's `H_l^-1 g_l(z_q)` [i, o]; 0 = all of them."""
        ...

    @property
    def product(self) -> Product:
        """The inner product: as it is, or over the lengths of both sides."""
        ...

    def fit(self, lm: "LM", examples: Examples, layers: "Layers", seed: int) -> "Bases":
        """What `transform` needs of training rows: tensors by name, kept with the index, computed before any query."""
        ...

    def transform(self, fitted: "Bases", groups: dict[str, str]) -> "Transform":
        """`H_l^-1`, as a function of a layer's name and gradients [t, i, o], to [t, i, o].

        `fitted` is what `fit` returned; `groups` names for each layer the first one that reads the same input.
        """
        ...


@runtime_checkable
class UnrolledMethod(Method, Protocol):
    """`tau(z_q, z_i) = sum over c, l of <R_c,l S_c+1,l ... S_C,l g_C,l(z_q), g_c,l(z_i)>` over the checkpoints c of one run.

    SOURCE, for one: between two checkpoints the curvature H_c stays, so that their steps, whose learning rates add up to
    `span`, take `S_c = exp(-span H_c)` off what was there before, and add `R_c = H_c^-1 (I - S_c)` times what a row's gradient
    was (arXiv 2405.12186).
    """

    def fit(self, lm: "LM", examples: Examples, layers: "Layers", seed: int) -> "Bases":
        """What `unroll` needs of training rows at one checkpoint: tensors by name, as for a `StreamMethod`."""
        ...

    def unroll(self, fitted: "Bases", groups: dict[str, str], span: float) -> "tuple[Transform, Transform]":
        """`R_c` and `S_c`, as functions of a layer's name and gradients [t, i, o], to [t, i, o].

        `span`: the learning rates of all steps from the checkpoint before to this one, added up. `fitted` and `groups` as for
        a `StreamMethod`.
        """
        ...


@runtime_checkable
class WholeMethod(Method, Protocol):
    """`tau(z_q, z_i) = (H^-1 g(z_q)) . g(z_i)` with one H [d, d] over all tracked layers, of which only products are formed."""

    def precondition(
        self, lm: "LM", examples: Examples, layers: "Layers", queries: "Float[torch.Tensor, 't d']", seed: int
    ) -> "Float[torch.Tensor, 't d']":
        """From the queries' g(z_q) [t, d] to `H^-1 g(z_q)` [t, d], H of the training examples.

        The d numbers are the layers' gradients [i, o], flattened, one layer after the other.
        """
        ...


@runtime_checkable
class TextMethod(Method, Protocol):
    """`tau(z_q, z_i)` of the texts alone, prompt and completion together: the model is not asked."""

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """From n rows' and t queries' texts to scores [t, n]."""
        ...


@runtime_checkable
class KeepingMethod(TextMethod, Protocol):
    """A text method that keeps of the rows what a question needs, so that none of their texts is read again."""

    def keep(self, rows: Iterable[str], folder: Path) -> None:
        """Write what `retrieve_kept` needs of n rows' texts into the folder, as files `kept.NAME`."""
        ...

    def retrieve_kept(self, folder: Path, n: int, queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """What `retrieve` gives for the n rows whose texts `keep` was given."""
        ...


@runtime_checkable
class QuotingMethod(Method, Protocol):
    """`tau(z_q, z_i) = sum of the rarities of the spans of what z_q says that stand in z_i`; no model is loaded."""

    def keep(self, rows: Iterable[str], folder: Path) -> None:
        """Write what `quote` needs of n rows' texts (prompt and completion) into the folder, as files `kept.NAME`."""
        ...

    def quote(self, folder: Path, answers: Sequence[str]) -> Sequence[Quoted]:
        """What of each answer (a query's completion) stands in rows, by the numbers that `keep` had them in, from 0."""
        ...


OneModel = IndexMethod | StreamMethod | WholeMethod  # whose scores of a checkpoint ask no other checkpoint
ModelMethod = OneModel | UnrolledMethod
TrainingMethod = ModelMethod | TextMethod | QuotingMethod
VERBS = {
    "weigh": IndexMethod,
    "transform": StreamMethod,
    "unroll": UnrolledMethod,
    "precondition": WholeMethod,
    "retrieve": TextMethod,
    "quote": QuotingMethod,
}


def find_training_method(method: object, methods: dict[str, type]) -> TrainingMethod:
    """Return the method itself, or the default one of that name or class, as exactly one of the six kinds.

    Raises `LlmattrError` as `find_method` does; for a class with none of the verbs (a misspelt one), or several; and for one
    without what its kind has besides.
    """
    check_kind(method, IndexMethod)
    found = find_method(method, methods)
    has = public_names(found)
    verbs = [verb for verb in VERBS if verb in has]
    if len(verbs) != 1:
        instead = " and ".join(verbs) or misspelt(has, VERBS)
        raise LlmattrError(f"a training method has one of the verbs {', '.join(VERBS)}; {type(found).__name__} has {instead}")
    find_method(found, methods, Method)
    chosen = find_method(found, methods, VERBS[verbs[0]])
    check_choice("measure", chosen.measure, get_args(Measure))
    if isinstance(chosen, IndexMethod):
        check_choice("vectors", chosen.vectors, get_args(VectorKind))
    if isinstance(chosen, StreamMethod):
        check_choice("product", chosen.product, get_args(Product))
        check_number("rank", chosen.rank, 0, whole=True)
    return chosen


def misspelt(has: Iterable[str], verbs: Iterable[str]) -> str:
    """The name that was meant for a verb, and the verb; "none" where there is no such name."""
    verbs = list(verbs)
    near = [f"{name!r}{meant}" for name in has if name != "retrieves_itself" and (meant := did_you_mean(name, verbs))]
    return near[0] if near else "none"
