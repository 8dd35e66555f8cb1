"""What a method of components is."""

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from llmattr.core.attribution import Attribution
from llmattr.core.method import Named

if TYPE_CHECKING:
    from llmattr.components.ablation import ComponentAblation


@runtime_checkable
class Method(Named, Protocol):
    """A frozen dataclass whose fields are the hyper-parameters (`option`), with one verb.

    `name` is that of the command line and of records. `family`: "datamodel" and "game-theoretic" fit random ablations,
    "predictive" removes one component, or foretells that by gradients.
    """

    family: ClassVar[str]

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Scores [t, n] of the ablation's n components for each of its t targets, positive = it made the target likelier.

        An ablation is asked by masks Bool[m, n] and gives outputs Float[m, t] in nats; `ablation.gradients()` foretells what
        the removal of each does. One seed gives the same scores.
        """
        ...
