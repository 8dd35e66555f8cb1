"""Gradient products preconditioned in the projected space: LoGra, TRAK and TrackStar."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from llmattr.core.method import option
from llmattr.errors import LlmattrError
from llmattr.training.index.search import Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.products import NORMALIZE, unit
from llmattr.training.projection import Measure, Normalize, VectorKind


def damped(moment: Float[np.ndarray, "d d"], damping: float) -> Float[np.ndarray, "d d"]:
    """`M + damping * mean eigenvalue * I`, never quite singular; raises `LlmattrError` where M is 0."""
    mean = np.trace(moment) / len(moment)
    if mean == 0:
        raise LlmattrError("no row has a gradient in the tracked layers: track others (modules)")
    return moment + (damping + 1e-10) * mean * np.eye(len(moment))


@dataclass(frozen=True)
class LoGra:
    """Influence `g_query' (F + damping)^-1 g_row`, F the projected empirical Fisher matrix (arXiv 2405.13954).

    Cost: an index
    """

    name: ClassVar[str] = "logra"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.1, "added to the curvature, in units of its mean eigenvalue")

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """The curvature is inverted on the query's side."""
        return Weighed(np.linalg.solve(damped(index.moment(), self.damping), queries.T).T)


@dataclass(frozen=True)
class Trak:
    """`phi_query' (Phi' Phi)^-1 phi_row (1 - p_row)`, phi the projected gradient of the margin (arXiv 2303.14186, equation 17).

    With several checkpoints (an ensemble) both parts are averaged over them and then multiplied, as the paper writes it. The
    released code's scaling by the size of phi is left out, which changes no ranking.

    Cost: an index; `--checkpoints` make an ensemble
    """

    name: ClassVar[str] = "trak"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "margin"
    vectors: ClassVar[VectorKind] = "gradients"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.01, "added to Phi' Phi, in units of its mean eigenvalue")

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """The out-to-loss term is each row's mean of 1 - p over its counted tokens."""
        moment = damped(index.moment(), self.damping) * len(index) * index.run.get("checkpoints", 1)
        return Weighed(np.linalg.solve(moment, queries.T).T, outer=np.asarray(index.doubt, dtype=np.float64))


@dataclass(frozen=True)
class TrackStar:
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
    damping: float = option(0.01, "added to R, in units of its mean eigenvalue")
    normalize: Normalize = option("data", NORMALIZE)

    def weigh(self, index: GradientIndex, queries: Float[np.ndarray, "t d"]) -> Weighed:
        """R^-1/2 on both sides, then unit length."""
        rows = index.moment()
        asked = queries.T.astype(np.float64) @ queries / len(queries)
        share = self.mix * (1 - 1 / len(queries))  # what queries have in common: of one alone it would be the query itself
        mixed = share * _of_trace_one(asked) + (1 - share) * _of_trace_one(rows)
        values, vectors = np.linalg.eigh(damped(mixed, self.damping))
        root = vectors / np.sqrt(values) @ vectors.T
        return Weighed(unit(queries @ root) @ root, cosine=True, root=root)


def _of_trace_one(moment: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The moment over its trace; 0 stays, as of queries without a gradient."""
    return moment / (np.trace(moment) or 1.0)
