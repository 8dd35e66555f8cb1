"""The training methods.

To add one: one frozen dataclass that is an `IndexMethod`, `StreamMethod`, `WholeMethod` or `TextMethod` (contract.py says what
each of them has), and one line in `METHODS`.
"""

from llmattr.training.methods.influence import Arnoldi, Cg, Ekfac, Lissa, Stream
from llmattr.training.methods.preconditioned import LoGra, TrackStar, Trak
from llmattr.training.methods.products import GradCos, GradDot, TracIn
from llmattr.training.methods.retrieval import Bm25, Embeddings, RepSim

METHODS = {
    method.name: method
    for method in (
        LoGra,
        GradCos,
        GradDot,
        TracIn,
        Trak,
        TrackStar,
        Stream,
        Ekfac,
        Cg,
        Lissa,
        Arnoldi,
        RepSim,
        Embeddings,
        Bm25,
    )
}
