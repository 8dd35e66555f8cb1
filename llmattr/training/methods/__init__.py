"""The training methods.

To add one: one frozen dataclass with one of the verbs of `llmattr/training/contract.py`, which says what each takes and
returns, and its line in `_EVERY`.
"""

from typing import TYPE_CHECKING

from llmattr.training.methods.baselines import Length, Random, WordShare
from llmattr.training.methods.influence import Ekfac, Stream
from llmattr.training.methods.iterative import Arnoldi, Astra, Cg, Lissa
from llmattr.training.methods.preconditioned import LoGra, TrackStar, Trak
from llmattr.training.methods.products import GradCos, GradDot, Less, TracIn
from llmattr.training.methods.retrieval import Bm25, Embeddings, Rds, RepSim
from llmattr.training.methods.unrolled import Source
from llmattr.training.methods.verbatim import Verbatim

if TYPE_CHECKING:
    from llmattr.training.contract import TrainingMethod

_EVERY: "tuple[type[TrainingMethod], ...]" = (
    LoGra,
    GradCos,
    GradDot,
    TracIn,
    Trak,
    TrackStar,
    Less,
    Stream,
    Ekfac,
    Cg,
    Lissa,
    Astra,
    Arnoldi,
    Source,
    RepSim,
    Rds,
    Embeddings,
    Bm25,
    Verbatim,
    Random,
    Length,
    WordShare,
)

METHODS = {method.name: method for method in _EVERY}
