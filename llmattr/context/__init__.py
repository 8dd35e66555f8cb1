"""Attribution of a response to its context. To add a method: one file with one dataclass, and one line here.

A method has a `name`, a `family` ("datamodel" and "game-theoretic" ask ablations, "predictive" looks into the model,
"corroborative" compares what is there) and `attribute(ablation, seed) -> Attribution`.
"""

from llmattr.context.alone import Alone
from llmattr.context.at2 import At2
from llmattr.context.attention import Attention
from llmattr.context.banzhaf import Banzhaf
from llmattr.context.bm25 import Bm25
from llmattr.context.context_cite import ContextCite
from llmattr.context.embeddings import Embeddings
from llmattr.context.gradient_input import GradientInput
from llmattr.context.hierarchical import Hierarchical
from llmattr.context.integrated_gradients import IntegratedGradients
from llmattr.context.interactions import Interactions
from llmattr.context.leave_one_out import LeaveOneOut
from llmattr.context.ridge import Blend, Ridge
from llmattr.context.shapley import Shapley
from llmattr.context.source_gates import SourceGates

METHODS = {
    method.name: method
    for method in (
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
        GradientInput,
        IntegratedGradients,
        Attention,
        At2,
        Bm25,
        Embeddings,
    )
}
