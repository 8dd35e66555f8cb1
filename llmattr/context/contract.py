"""What a context method is."""

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from llmattr.core.attribution import Attribution
from llmattr.core.method import Named

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


@runtime_checkable
class Method(Named, Protocol):
    """A frozen dataclass whose fields are the hyper-parameters (`option`), with one verb.

    `name` is that of the command line and of records. `family`: "datamodel" and "game-theoretic" ask ablations, "predictive"
    looks into the model or leaves one source out, which its gradients foretell, "corroborative" compares what is there,
    "reference" knows nothing (a baseline).
    """

    family: ClassVar[str]

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores [t, n] of the ablation's n sources for each of its t targets, positive = the source made it likelier.

        An ablation is asked by masks Bool[m, n] and gives outputs Float[m, t] in nats; one seed gives the same scores.
        """
        ...
