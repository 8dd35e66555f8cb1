"""Whole gradients, without a projection: their products (stream), and influence functions by EK-FAC."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.method import option
from llmattr.text.rows import Examples, sample
from llmattr.training.methods.products import PARAMETERS
from llmattr.training.projection import Measure, Parameters

if TYPE_CHECKING:  # torch is imported where it is needed: `--help` waits for none
    import torch

    from llmattr.model.lm import LM
    from llmattr.training.contract import Transform
    from llmattr.training.gradients.layers import Layers
    from llmattr.training.gradients.project import Bases

FIT_ROWS = 128  # training rows whose gradients' lengths are compared
RANK = "singular directions kept of each query's gradient in each layer; 0 = all"


@dataclass(frozen=True)
class Stream:
    """Products of whole gradients, dot or cosine, as training rows pass: no index, nothing projected.

    Cost: a pass over the data for each question
    """

    name: ClassVar[str] = "stream"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "products of gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    product: Literal["dot", "cosine"] = option("dot", "dot, or cosine")
    rank: int = option(0, RANK)
    parameters: Parameters = option("auto", PARAMETERS)

    def fit(self, lm: "LM", examples: Examples, layers: "Layers", seed: int) -> "Bases":
        """What gives several groups of parameters the same mean square."""
        from llmattr.training.gradients.moments import SCALES, scales

        found = scales("none", lm, sample(examples, FIT_ROWS, seed), layers)
        return {f"{SCALES}{key}": scale for key, scale in found.items()}

    def transform(self, fitted: "Bases", groups: dict[str, str]) -> "Transform":
        """Nothing is done to a query's gradient."""
        return lambda name, gradient: gradient


@dataclass(frozen=True)
class Ekfac:
    """Influence `g_query' (H + damping)^-1 g_row`, H the Fisher matrix in its eigenvalue-corrected Kronecker form.

    Of a layer, `H = (U_A x U_S) diag(L) (U_A x U_S)'` with U_A, U_S the eigenvectors of the inputs' and the output gradients'
    second moments, and `L[i, o] = E[(U_A' g U_S)[i, o]^2]` over training rows (EK-FAC, arXiv 1806.03884; for language models
    arXiv 2308.03296, section 2.2). `eigenvalues="kronecker"`: `L = l_A l_S'`, which is K-FAC.

    Cost: a fit, and a pass for each question
    """

    name: ClassVar[str] = "ekfac"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    damping: float = option(0.1, "added to the eigenvalues of each layer, in units of their mean")
    fit_rows: int = option(256, "training rows that the curvature is fitted on", least=1)
    value_rows: int = option(128, "rows, of these, that the eigenvalues are corrected on", least=1)
    labels: Literal["sampled", "data"] = option("sampled", "tokens drawn from the model (Fisher), or the data's own")
    eigenvalues: Literal["corrected", "kronecker"] = option("corrected", "corrected (EK-FAC) or kronecker (K-FAC)")
    rank: int = option(0, RANK)
    parameters: Parameters = option("auto", PARAMETERS)

    @property
    def product(self) -> Literal["dot"]:
        """An influence is no cosine."""
        return "dot"

    def fit(self, lm: "LM", examples: Examples, layers: "Layers", seed: int) -> "Bases":
        """Eigenvectors ("group/in", "layer/out") and eigenvalues ("layer/values" [i, o]) of every layer."""
        from llmattr.training.gradients.kronecker import fit

        return fit(
            lm,
            examples,
            layers,
            seed,
            fit_rows=self.fit_rows,
            value_rows=self.value_rows,
            labels=self.labels,
            eigenvalues=self.eigenvalues,
        )

    def transform(self, fitted: "Bases", groups: dict[str, str]) -> "Transform":
        """`U_A (U_A' g U_S / (L + damping mean(L))) U_S'`; 0 where no row has a gradient and nothing damps."""

        from llmattr.training.gradients.kronecker import function_of

        def inverse(values: "torch.Tensor") -> "torch.Tensor":
            curvature = values + self.damping * values.mean()
            return (1 / curvature).where(curvature > 0, 0.0)

        return function_of(fitted, groups, inverse)
