"""Gradient products preconditioned in the projected space: LoGra, TRAK and TrackStar."""

from dataclasses import InitVar, dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from llmattr.core.method import option
from llmattr.errors import LlmattrError
from llmattr.training.index.search import Weighed, lengths
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.products import NORMALIZE, PARAMETERS, unit
from llmattr.training.projection import Measure, Normalize, Parameters, VectorKind

TINY = 1e-13  # of the trace: what is singular is so by rounding
RIDGE = "added to the rows' second moments, in units of the mean squared length of a row"


def solved(index: GradientIndex, queries: Float[np.ndarray, "t d"], ridge: float) -> Float[np.ndarray, "t d"]:
    """`(Phi' Phi + ridge m I)^-1 q` of each query, Phi [n, d] the rows and m their mean squared length.

    The unit is that of the dual form, `Phi Phi' + ridge m I`: the mean of the first part's diagonal is m. Rows that are fewer
    than numbers span all that their scores depend on: there it is `Phi' U (L (L + ridge m))^-1 U' Phi q`, Phi Phi' = U L U'.
    Raises `LlmattrError` where every row is 0.
    """
    n, size = index.vectors.shape
    if n >= size:
        moment = index.moment()
        added = ridge * check_length(np.trace(moment)) + TINY * n * np.trace(moment)
        return np.linalg.solve(n * moment + added * np.eye(size), queries.T).T
    rows = np.concatenate([block for _, block in index.blocks()]).astype(np.float64)
    values, turn = np.linalg.eigh(rows @ rows.T)
    kept = values > TINY * values.sum()
    added = ridge * check_length(values.sum() / n)
    along = queries @ rows.T @ turn[:, kept] / (values[kept] * (values[kept] + added))
    return along @ turn[:, kept].T @ rows


def check_length(mean: float) -> float:
    """The mean squared length of the rows; raises `LlmattrError` where it is 0."""
    if mean == 0:
        raise LlmattrError("no row has a gradient in the tracked layers: track others (parameters, modules)")
    return mean


@dataclass(frozen=True)
class Ridged:
    """A method with a ridge; it refuses the `damping` in units of a mean eigenvalue that was there before."""

    damping: InitVar[float | None] = field(default=None, kw_only=True)

    def __post_init__(self, damping: float | None) -> None:
        """Raises `LlmattrError` for a damping."""
        if damping is not None:
            raise LlmattrError(
                "damping is ridge now, in units of the mean squared length of a row: write --ridge (ridge=), such as 0.3"
            )


@dataclass(frozen=True)
class LoGra(Ridged):
    """Influence `g_query' (F + ridge)^-1 g_row`, F the projected empirical Fisher matrix (arXiv 2405.13954).

    Cost: an index
    """

    name: ClassVar[str] = "logra"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    ridge: float = option(0.3, RIDGE)
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """The curvature `F = Phi' Phi / n` is inverted on the query's side."""
        return Weighed(solved(index, queries, self.ridge) * len(index))


@dataclass(frozen=True)
class Trak(Ridged):
    """`phi_query' (Phi' Phi + ridge)^-1 phi_row (1 - p_row)`, phi the projected gradient of the margin (arXiv 2303.14186).

    With several checkpoints (an ensemble) each one's scores of a query count with the same length, its own `1 - p` in them; the
    paper averages products and terms each by itself. The released code's scaling by the size of phi is left out, which changes
    no ranking.

    Cost: an index; `--checkpoints` make an ensemble
    """

    name: ClassVar[str] = "trak"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "margin"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    ridge: float = option(0.3, RIDGE)
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """The out-to-loss term is each row's mean of 1 - p over its counted tokens."""
        return Weighed(solved(index, queries, self.ridge), outer=np.asarray(index.doubt, dtype=np.float64))


@dataclass(frozen=True)
class TrackStar(Ridged):
    """Cosine of `R^-1/2 g`, g over the optimiser's second moments, R a mix of queries and rows (arXiv 2410.17413).

    Cost: an index
    """

    name: ClassVar[str] = "trackstar"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "cosines of gradients"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    mix: float = option(0.9, "the share in R of many queries; t queries get (1 - 1 / t) of it, one alone none", below=1.000001)
    ridge: float = option(0.3, RIDGE)
    normalize: Normalize = option("data", NORMALIZE)
    parameters: Parameters = option("auto", PARAMETERS)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """R^-1/2 on both sides, then unit length. For one query R is the rows' own: what follows from it is kept."""
        if len(queries) == 1:
            kept = index.once(f"root.{self.ridge}", lambda: self._alone(index))
            root, known = kept["root"], kept["lengths"]
        else:
            root, known = self._root(index, queries), None
        return Weighed(unit(queries @ root) @ root, cosine=True, root=root, lengths=known)

    def _alone(self, index: GradientIndex) -> dict[str, np.ndarray]:
        """`R^-1/2` without any query [d, d], and the rows' lengths with it [n]."""
        root = self._root(index, np.zeros((1, index.run["dim"])))
        return {"root": root, "lengths": np.concatenate([lengths(g, root.astype(np.float32)) for _, g in index.blocks()])}

    def _root(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Float[np.ndarray, "d d"]:
        """`R^-1/2`."""
        rows = index.moment()
        asked = queries.T.astype(np.float64) @ queries / len(queries)
        share = self.mix * (1 - 1 / len(queries))  # what queries have in common: of one alone it would be the query itself
        check_length(np.trace(rows))
        mixed = share * _of_trace_one(asked) + (1 - share) * _of_trace_one(rows)
        values, vectors = np.linalg.eigh(mixed + (self.ridge / len(index) + TINY) * np.eye(len(mixed)))
        return vectors / np.sqrt(values) @ vectors.T


def _of_trace_one(moment: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The moment over its trace; 0 stays, as of queries without a gradient."""
    return moment / (np.trace(moment) or 1.0)
