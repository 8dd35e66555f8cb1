"""The methods of components, each a `Method` (see contract).

To add one: a dataclass in a file here, its import and a line in `_EVERY`.
"""

from llmattr.components.methods.ablating import Banzhaf, Coar, LeaveOneOut, Shapley
from llmattr.components.methods.integrated import IntegratedGradients
from llmattr.components.methods.patching import AttributionPatching, Verified

_EVERY = (
    Verified,
    LeaveOneOut,
    Coar,
    AttributionPatching,
    IntegratedGradients,
    Shapley,
    Banzhaf,
)

METHODS = {method.name: method for method in _EVERY}
