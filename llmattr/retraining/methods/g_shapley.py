"""G-Shapley: what the step of each row adds in a single pass over the rows, one after the other."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.retraining.contract import OF_RUNS
from llmattr.retraining.replicated import over_replicates

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class GShapley:
    """G-Shapley (Ghorbani and Zou 2019, arXiv 1904.02868): what each row's step adds in one pass over them in random order.

    The model is trained by gradient descent, a row a step, for one pass; a row's value is the query's output after its step
    less the one before it, so values and `baseline` (the output before) add up to the output at the end. Of one order a value
    is mostly chance: each replicate (`--replicates`) has an order of its own, and values are means over them. They value rows
    for a model that is trained so; of the recipe only where training starts is used.

    Cost: 1 pass, and all queries for each row
    """

    name: ClassVar[str] = "g-shapley"
    family: ClassVar[str] = "game-theoretic"
    ignores: ClassVar[tuple[str, ...]] = ("jobs", *(name for name in OF_RUNS if name not in ("replicates", "seed")))
    step_size: float | Literal["auto"] = option(
        "auto", "the learning rate; auto: of 0.1 to 0.00003 the one whose pass brings the queries' mean output highest"
    )

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; errors over several replicates."""
        from llmattr.retraining.one_row import one_pass

        rate = None if self.step_size == "auto" else self.step_size
        return over_replicates(self, ablation, partial(one_pass, ablation.causal(self.name), rate=rate), seed)
