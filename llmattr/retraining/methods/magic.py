"""MAGIC: the exact derivative of each query's output by each row's weight in one training run."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from llmattr.core.attribution import Attribution
from llmattr.retraining.replicated import over_replicates

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Magic:
    """MAGIC (Ilyas and Engstrom 2025, arXiv 2504.16430): the exact derivative of this run by each row's weight.

    A value is `d output / d weight` at weight 1 at the end of a run on all rows, by going back through every step of AdamW
    with its clipping, momentum and decay: no inverse curvature, no projection, no first order in the steps. It is right for
    this run, with its seed and its batches, and for few rows and small changes: about a hundredth of a row's weight, and far
    less for the rows of the first step, where AdamW goes by the sign of the gradient. Taken for whole rows it foretells too
    large a change, and what another seed does it hardly knows: judged by models that keep one half of the rows, each with a
    seed of its own, its LDS was 0.14 where `in-run-shapley` had 0.66 (30 queries of the facts of `python -m eval lds`). So it
    answers "which rows made this model what it is", and is no default. Replicates are runs with other seeds, of which the
    values are means.

    `baseline`: the output less all values. Memory beside training: 3 numbers for each parameter and query, and
    `6 sqrt(steps)` for each parameter.

    Cost: 2, and the way back for each query
    """

    name: ClassVar[str] = "magic"
    family: ClassVar[str] = "predictive"
    ignores: ClassVar[tuple[str, ...]] = ("jobs",)

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Nats by 1 of a row's weight, one row for each target of the ablation; errors over several replicates."""
        from llmattr.retraining.metagradient import metagradient

        return over_replicates(self, ablation, partial(metagradient, ablation.causal(self.name)), seed)
