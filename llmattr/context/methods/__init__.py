"""The context methods, each a `Method` (see contract).

To add one: a dataclass in a file here, its import and a line in `_EVERY`.
"""

from llmattr.context.methods.at2 import At2
from llmattr.context.methods.attention import Attention
from llmattr.context.methods.baselines import Length, Random, WordShare
from llmattr.context.methods.games import Alone, Banzhaf, LeaveOneOut, Shapley
from llmattr.context.methods.gradients import GradientInput, IntegratedGradients
from llmattr.context.methods.hierarchical import Hierarchical
from llmattr.context.methods.lrp import AttnLrp, CpLrp
from llmattr.context.methods.retrieval import Bm25, Embeddings
from llmattr.context.methods.rollout import Rollout
from llmattr.context.methods.screening import Screening
from llmattr.context.methods.source_gates import SourceGates
from llmattr.context.methods.surrogates import Blend, ContextCite, Interactions, Ridge

_EVERY = (
    Screening,
    ContextCite,
    Ridge,
    Blend,
    Interactions,
    Hierarchical,
    Shapley,
    Banzhaf,
    LeaveOneOut,
    Alone,
    SourceGates,
    CpLrp,
    AttnLrp,
    GradientInput,
    IntegratedGradients,
    Attention,
    Rollout,
    At2,
    Bm25,
    Embeddings,
    Random,
    Length,
    WordShare,
)

METHODS = {method.name: method for method in _EVERY}
