"""The training methods.

To add one: one dataclass with a `name`, `family`, `unit`, `measure` and one of these verbs, and one line in `METHODS`.

    weigh(index, queries)                         products with the rows of an index; `features` says what a row holds
    transform(fitted, groups)                     whole gradients, preconditioned layer by layer; `fit` where it needs fitting
    precondition(lm, examples, layers, queries, seed)   whole gradients, all layers at once (small models)
    retrieve(rows, queries)                       texts alone
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
