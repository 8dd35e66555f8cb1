"""Whole gradients, without a projection: their products (stream), and influence functions by EK-FAC."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from llmattr.method import option

RANK = "singular directions kept of each query's gradient in each layer; 0 = all"


@dataclass(frozen=True)
class Stream:
    """Products of whole gradients, dot or cosine, as training rows pass: no index, nothing projected."""

    name: ClassVar[str] = "stream"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "products of gradients"
    measure: ClassVar[str] = "loss"
    product: Literal["dot", "cosine"] = option("dot", "dot, or cosine")
    rank: int = option(0, RANK)

    def transform(self, fitted: Any, groups: dict[str, str]) -> Callable[[str, Any], Any]:
        """Nothing is done to a query's gradient."""
        return lambda name, gradient: gradient


@dataclass(frozen=True)
class Ekfac:
    """Influence `g_query' (H + damping)^-1 g_row`, H the Fisher matrix in its eigenvalue-corrected Kronecker form.

    Of a layer, `H = (U_A x U_S) diag(L) (U_A x U_S)'` with U_A, U_S the eigenvectors of the inputs' and the output gradients'
    second moments, and `L[i, o] = E[(U_A' g U_S)[i, o]^2]` over training rows (EK-FAC, arXiv 1806.03884; for language models
    arXiv 2308.03296, section 2.2). `eigenvalues="kronecker"`: `L = l_A l_S'`, which is K-FAC.
    """

    name: ClassVar[str] = "ekfac"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[str] = "loss"
    damping: float = option(0.1, "added to the eigenvalues of each layer, in units of their mean")
    fit_rows: int = option(256, "training rows that the curvature is fitted on", least=1)
    value_rows: int = option(128, "rows, of these, that the eigenvalues are corrected on", least=1)
    labels: Literal["sampled", "data"] = option("sampled", "tokens drawn from the model (Fisher), or the data's own")
    eigenvalues: Literal["corrected", "kronecker"] = option("corrected", "corrected (EK-FAC) or kronecker (K-FAC)")
    rank: int = option(0, RANK)

    def fit(self, lm: Any, examples: Any, layers: Any, seed: int) -> Any:
        """Eigenvectors ("group/in", "layer/out") and eigenvalues ("layer/values" [i, o]) of every layer."""
        from llmattr.training.ekfac import fit

        return fit(self, lm, examples, layers, seed)

    def transform(self, fitted: Any, groups: dict[str, str]) -> Callable[[str, Any], Any]:
        """`U_A (U_A' g U_S / (L + damping mean(L))) U_S'`; 0 where no row has a gradient and nothing damps."""

        def solve(name: str, gradient: Any) -> Any:
            keys = (f"{groups[name]}/in", f"{name}/out", f"{name}/values")
            ins, outs, values = (fitted[key].to(gradient.dtype) for key in keys)
            curvature = values + self.damping * values.mean()
            turned = ins.T @ gradient @ outs
            return ins @ (turned / curvature).where(curvature > 0, 0.0) @ outs.T

        return solve
