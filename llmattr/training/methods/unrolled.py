"""SOURCE: influence through the steps of a training run, from several of its checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.method import option
from llmattr.errors import LlmattrError
from llmattr.text.rows import Examples
from llmattr.training.methods.products import PARAMETERS
from llmattr.training.projection import Measure, Parameters

if TYPE_CHECKING:  # torch is imported where it is needed: `--help` waits for none
    import torch

    from llmattr.model.lm import LM
    from llmattr.training.contract import Transform
    from llmattr.training.gradients.layers import Layers
    from llmattr.training.gradients.project import Bases

ROOTS = "roots/"  # begins the names of Adam's P^1/2 among what is fitted
TOKENS = "tokens"  # among what is fitted: the counted tokens of a row, in the mean


@dataclass(frozen=True)
class Source:
    """Influence through the steps of a training run, from its checkpoints c (SOURCE, arXiv 2405.12186).

    `sum_c g_query' S_C ... S_c+1 R_c g_c,row`. From the checkpoint before to c the curvature H is taken to stay as EK-FAC
    finds it at c, and gradients as they are there. Their steps, of learning rates that add up to `s`, leave
    `S_c = exp(-s H)` of what was there before, and add `R_c = H^-1 (I - exp(-s H))` times a row's gradient: SGD's, on a loss
    that is a mean over tokens, as a Trainer's. A direction in which they do not come far counts `s` times, as in tracin, and
    one in which they arrive by H's inverse, as in ekfac. Adam's steps are `P g`: then H is `P^1/2 H P^1/2`, P as it was at c.

    Cost: a fit for each of `--checkpoints`, and a pass over each for each question
    """

    name: ClassVar[str] = "source"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "influences, products of preconditioned gradients"
    measure: ClassVar[Measure] = "loss"
    retrieves_itself: ClassVar[bool] = True
    momentum: float = option(0.0, "of SGD: its steps become 1 / (1 - momentum) times as long", below=1)
    optimizer: Literal["sgd", "adam"] = option("sgd", "whose steps they were; adam (AdamW): by each checkpoint's optimizer.pt")
    fit_rows: int = option(256, "training rows that the curvature is fitted on", least=1)
    value_rows: int = option(128, "rows, of these, that the eigenvalues are corrected on", least=1)
    parameters: Parameters = option("auto", PARAMETERS)

    def fit(self, lm: "LM", examples: Examples, layers: "Layers", seed: int) -> "Bases":
        """EK-FAC's tensors, of losses that are sums over a row's tokens, and how many of these a row has."""
        import torch

        from llmattr.training.gradients.kronecker import fit
        from llmattr.training.gradients.moments import adam_roots

        if self.optimizer == "adam" and self.momentum:
            raise LlmattrError("momentum is of SGD, and Adam's steps are as long as its rates say: leave out one of the two")
        tokens = sum(int(counted.sum()) for counted in examples.counted) / len(examples)
        roots = adam_roots(lm, layers, "take --optimizer sgd") if self.optimizer == "adam" else {}
        rows = {"fit_rows": self.fit_rows, "value_rows": self.value_rows}
        fitted = fit(lm, examples, layers, seed, **rows, labels="sampled", eigenvalues="corrected", scales=roots)
        return fitted | {TOKENS: torch.tensor(tokens)} | {ROOTS + key: root for key, root in roots.items()}

    def unroll(self, fitted: "Bases", groups: dict[str, str], span: float) -> "tuple[Transform, Transform]":
        """`R_c` and `S_c` of a checkpoint, s = `span / (1 - momentum) / tokens of a row`."""
        from llmattr.training.gradients.kronecker import function_of

        s = span / (1 - self.momentum) / float(fitted[TOKENS])
        if self.optimizer == "adam":
            groups = {name: name for name in groups}
        here, before = (function_of(fitted, groups, f) for f in (added(s), lambda values: (-s * values).exp()))
        if self.optimizer == "sgd":
            return here, before
        return (
            lambda name, g: root_of(fitted, name) * here(name, g * root_of(fitted, name)),
            lambda name, g: before(name, g * root_of(fitted, name)) / root_of(fitted, name),
        )


def root_of(fitted: "Bases", name: str) -> "torch.Tensor":
    """A layer's `P^1/2` [i, o]."""
    return fitted[f"{ROOTS}{name}/in"].outer(fitted[f"{ROOTS}{name}/out"])


def added(s: float) -> "Callable[[torch.Tensor], torch.Tensor]":
    """`(1 - exp(-s x)) / x`, s where x is 0."""

    def function(x: "torch.Tensor") -> "torch.Tensor":
        return (-(-s * x).expm1() / x).where(x > 0, s)

    return function
