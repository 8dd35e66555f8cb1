"""The retraining methods.

To add one: one file with a frozen dataclass (`llmattr.retraining.contract.Method`), its import and a line in `_EVERY`; in
`ON_MASKS`, too, where sums of its scores foretell what models say that are trained without some rows.
"""

from llmattr.retraining.methods.ats import Ats
from llmattr.retraining.methods.data_oob import DataOob
from llmattr.retraining.methods.datamodels import Datamodel
from llmattr.retraining.methods.g_shapley import GShapley
from llmattr.retraining.methods.games import Ame, Banzhaf, BetaShapley, LeaveOneOut, Shapley
from llmattr.retraining.methods.in_run import InRunShapley
from llmattr.retraining.methods.knn_shapley import KnnShapley
from llmattr.retraining.methods.lava import Lava
from llmattr.retraining.methods.linear_probe import LinearProbe
from llmattr.retraining.methods.magic import Magic
from llmattr.retraining.methods.stacked import Stacked

_EVERY = (
    Datamodel,
    Stacked,
    LeaveOneOut,
    Shapley,
    Banzhaf,
    BetaShapley,
    Ame,
    DataOob,
    InRunShapley,
    Magic,
    Ats,
    GShapley,
    KnnShapley,
    LinearProbe,
    Lava,
)

METHODS = {method.name: method for method in _EVERY}
# Their scores are effects on the outputs of trained models, so that sums of them foretell what a removal does (--verify).
ON_MASKS = (Datamodel, Stacked, LeaveOneOut, Shapley, Banzhaf, BetaShapley, Ame)
