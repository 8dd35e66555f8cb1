"""Attribution of what a model says to its training data.

To add a method: one dataclass with a `name`, `family`, `unit`, `measure` and one of these verbs, and one line in `METHODS`.

    weigh(index, queries)                         products with the rows of an index; `features` says what a row holds
    transform(fitted, groups)                     whole gradients, preconditioned layer by layer; `fit` where it needs fitting
    precondition(lm, examples, layers, queries, seed)   whole gradients, all layers at once (small models)
    retrieve(rows, queries)                       texts alone
"""

from llmattr.training.bm25 import Bm25
from llmattr.training.curvature import LoGra, TrackStar, Trak
from llmattr.training.influence import Ekfac, Stream
from llmattr.training.inverse import Arnoldi, Cg, Lissa
from llmattr.training.representation import Embeddings, RepSim
from llmattr.training.similarity import GradCos, GradDot, TracIn

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
