"""Influence functions of the whole Gauss-Newton matrix, for small models: by conjugate gradients, LiSSA, ASTRA, Arnoldi."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float

from llmattr.core.method import option
from llmattr.errors import LlmattrError
from llmattr.text.rows import Examples, sample
from llmattr.training.methods.influence import Ekfac
from llmattr.training.methods.products import PARAMETERS
from llmattr.training.projection import Measure, Parameters

if TYPE_CHECKING:  # torch is imported where it is needed: `--help` waits for none
    import torch

    from llmattr.model.lm import LM
    from llmattr.training.gradients.gauss_newton import GaussNewton
    from llmattr.training.gradients.layers import Layers
    from llmattr.training.gradients.solvers import Product

DAMPING = "added to the curvature, in units of its mean eigenvalue (trace / weights, estimated)"
FIT_ROWS = "training rows that the curvature is computed on"
MOST = 2**32  # bytes of vectors: 4 GiB
OF_EKFAC = 4  # vectors' worth of a square layer's factors and eigenvalues, and of their second moments


@dataclass(frozen=True)
class Cg:
    """Influence `g_query' (G + damping)^-1 g_row`, G the Gauss-Newton matrix, by conjugate gradients (Martens 2010).

    `preconditioner="ekfac"` (EK-FAC+CG): in the coordinates in which EK-FAC's form of `G + damping` is 1. It takes fewer
    products to a rough answer (tolerance 0.1) and more to a close one where rows are few beside weights.

    Cost: a small model, and a pass for each question
    """

    name: ClassVar[str] = "cg"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.1, DAMPING)
    tolerance: float = option(0.01, "stop where the residual is this share of the query's gradient")
    steps: int = option(200, "most products with the curvature", least=1)
    fit_rows: int = option(256, FIT_ROWS, least=1)
    parameters: Parameters = option("auto", PARAMETERS)
    preconditioner: Literal["none", "ekfac"] = option("none", "none, or ekfac, fitted on the same rows (EK-FAC+CG)")

    def precondition(
        self, lm: "LM", examples: Examples, layers: "Layers", queries: "Float[torch.Tensor, 't d']", seed: int = 0
    ) -> "Float[torch.Tensor, 't d']":
        """`(G + damping)^-1 g` [t, d] of each query's gradient g [t, d]."""
        from llmattr.training.gradients.solvers import cg, mean_eigenvalue, preconditioned

        by_ekfac = self.preconditioner == "ekfac"
        _check_memory(self.name, 8 * len(queries) + by_ekfac * (3 * len(queries) + OF_EKFAC), queries)
        product = _curvature(lm, examples, layers, self.fit_rows, seed)
        damping = self.damping * mean_eigenvalue(product, queries, seed)
        if not by_ekfac:
            return cg(product, queries, damping, self.tolerance, self.steps)
        root = _root(product, damping, seed)
        return root(cg(preconditioned(product, root, damping), root(queries), 0.0, self.tolerance, self.steps))


@dataclass(frozen=True)
class Lissa:
    """The same influence by Neumann's series (LiSSA: arXiv 1602.03943, 1703.04730) over all of the sampled rows.

    It needs about `largest / (damping x mean eigenvalue)` steps: cg and astra are the faster ways to the same numbers.

    Cost: a small model, and a pass for each question
    """

    name: ClassVar[str] = "lissa"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.1, DAMPING)
    scale: float = option(0.0, "divides the curvature; 0 = 1.1 times its largest eigenvalue, by power iteration")
    steps: int = option(200, "products with the curvature", least=1)
    fit_rows: int = option(256, FIT_ROWS, least=1)
    parameters: Parameters = option("auto", PARAMETERS)

    def precondition(
        self, lm: "LM", examples: Examples, layers: "Layers", queries: "Float[torch.Tensor, 't d']", seed: int = 0
    ) -> "Float[torch.Tensor, 't d']":
        """`(G + damping)^-1 g` [t, d] of each query's gradient g [t, d], up to the residual that is noted."""
        from llmattr.training.gradients.solvers import lissa, mean_eigenvalue

        _check_memory(self.name, 6 * len(queries), queries)
        product = _curvature(lm, examples, layers, self.fit_rows, seed)
        damping = self.damping * mean_eigenvalue(product, queries, seed)
        return lissa(product, queries, damping, self.scale, self.steps)


@dataclass(frozen=True)
class Astra:
    """The same influence by Neumann's series from EK-FAC's answer on (ASTRA: arXiv 2507.14740) over all of the sampled rows.

    `x += P (g - (G + damping) x) / scale` with `P = (H + damping)^-1`, H the Gauss-Newton matrix in EK-FAC's form. It needs
    about `largest / least` steps, of the eigenvalues of `P (G + damping)`, which are near 1 as far as EK-FAC is right.

    Cost: a small model, and a pass for each question
    """

    name: ClassVar[str] = "astra"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.1, DAMPING)
    scale: float = option(0.0, "divides each step; 0 = 1.1 times the largest eigenvalue of P (G + damping), by power iteration")
    steps: int = option(100, "products with the curvature", least=1)
    fit_rows: int = option(256, FIT_ROWS, least=1)
    parameters: Parameters = option("auto", PARAMETERS)

    def precondition(
        self, lm: "LM", examples: Examples, layers: "Layers", queries: "Float[torch.Tensor, 't d']", seed: int = 0
    ) -> "Float[torch.Tensor, 't d']":
        """`(G + damping)^-1 g` [t, d] of each query's gradient g [t, d], up to the residual that is noted."""
        from llmattr.training.gradients.solvers import lissa, mean_eigenvalue, preconditioned

        _check_memory(self.name, 9 * len(queries) + OF_EKFAC, queries)
        product = _curvature(lm, examples, layers, self.fit_rows, seed)
        damping = self.damping * mean_eigenvalue(product, queries, seed)
        root = _root(product, damping, seed)
        return root(lissa(preconditioned(product, root, damping), root(queries), 0.0, self.scale, self.steps))


@dataclass(frozen=True)
class Arnoldi:
    """The same influence within the span of the Gauss-Newton matrix's leading eigenvectors (arXiv 2112.03052).

    Cost: a small model, and a pass for each question
    """

    name: ClassVar[str] = "arnoldi"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.1, DAMPING)
    steps: int = option(200, "products with the curvature, and vectors held at once", least=1)
    keep: int = option(50, "leading eigenvectors kept", least=1)
    fit_rows: int = option(256, FIT_ROWS, least=1)
    parameters: Parameters = option("auto", PARAMETERS)

    def precondition(
        self, lm: "LM", examples: Examples, layers: "Layers", queries: "Float[torch.Tensor, 't d']", seed: int = 0
    ) -> "Float[torch.Tensor, 't d']":
        """`V (L + damping)^-1 V' g` [t, d] of each query's gradient g [t, d]."""
        from llmattr.core.seeded import gaussian
        from llmattr.training.gradients.solvers import arnoldi, mean_eigenvalue, spanned_inverse

        _check_memory(self.name, self.steps + min(self.keep, self.steps) + 2 * len(queries), queries)
        product = _curvature(lm, examples, layers, self.fit_rows, seed)
        damping = self.damping * mean_eigenvalue(product, queries, seed)
        start = gaussian(1, queries.shape[1], seed, "arnoldi").to(queries)[0]
        return spanned_inverse(*arnoldi(product, start, self.steps, self.keep), queries, damping)


def _check_memory(name: str, vectors: int, queries: "Float[torch.Tensor, 't d']") -> None:
    """Raise `LlmattrError` where so many vectors of d numbers are more than 4 GiB."""
    size = vectors * queries.shape[1] * queries.element_size()
    if size > MOST:
        raise LlmattrError(
            f"{name} would hold {vectors} vectors of the {queries.shape[1]:,} tracked weights, {size / 2**30:.1f} GiB "
            f"of the {MOST / 2**30:.0f} GiB it may take: track fewer layers (modules), ask fewer queries at once, or take ekfac"
        )


def _curvature(lm: "LM", examples: Examples, layers: "Layers", rows: int, seed: int) -> "GaussNewton":
    """The Gauss-Newton matrix's product, on a sample of so many rows."""
    from llmattr.training.gradients.gauss_newton import GaussNewton

    return GaussNewton(lm, sample(examples, rows, seed), layers)


def _root(product: "GaussNewton", damping: float, seed: int) -> "Product":
    """`(H + damping)^-1/2`, H the matrix of this product in EK-FAC's form, fitted on the same rows."""
    import torch

    from llmattr.training.gradients.flat import by_layer
    from llmattr.training.gradients.kronecker import function_of
    from llmattr.training.gradients.layers import input_groups

    def inverse_root(values: "torch.Tensor") -> "torch.Tensor":
        curvature = values + damping
        if not (curvature > torch.finfo(curvature.dtype).eps * curvature.max()).all():
            raise LlmattrError("the curvature is singular, and EK-FAC has no inverse of it: give a damping above 0")
        return curvature.rsqrt()

    rows = len(product.examples)
    fitted = Ekfac(fit_rows=rows, value_rows=rows).fit(product.lm, product.examples, product.layers, seed)
    return by_layer(function_of(fitted, input_groups(product.lm, product.layers), inverse_root), product.layers)
