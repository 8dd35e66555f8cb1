"""How an example becomes a row of an index: what is differentiated, and how gradients are normalised and projected."""

from dataclasses import dataclass
from typing import Literal

from llmattr.core.method import option

VectorKind = Literal["gradients", "hidden states", "weighted hidden states", "embeddings"]  # what a row holds
Measure = Literal["loss", "margin", "sampled"]  # what is differentiated (`run_backward`)
Normalize = Literal["data", "optimizer", "steps", "none"]  # where second moments come from
Parameters = Literal[  # whose gradients (`tracked_layers`)
    "auto", "blocks", "head", "embedding", "norms", "blocks+head", "blocks+embedding", "blocks+norms", "head+embedding", "all"
]
Kind = Literal["principal", "random", "rademacher", "identity"]


@dataclass(frozen=True)
class Projection:
    """How gradients become rows of an index.

    `principal`: P and Q hold the leading covariance directions of a layer's inputs and output gradients, and a row the
    coordinates with the most energy over all layers; the last `complement` of the row is a sketch of the others.
    `random`: Gaussian directions, unbiased, all sketched. `rademacher`: a dense matrix of signs over the whole gradient,
    as TRAK has it (slow). `identity`: the whole gradient.
    """

    kind: Kind = option("principal", "principal, random, rademacher (dense, slow) or identity (the whole gradient)")
    dim: int = option(2048, "numbers in a row of the index", least=1)
    width: int = option(16, "directions kept of each layer's input and of its output", least=1)
    complement: float = option(0.25, "share of a principal row that sketches what has no place of its own", below=1)
    seed: int = option(0, "seed of everything random", below=2**63)
