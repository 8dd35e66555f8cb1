"""ATS: what one more step on a row does to the queries, at the end of training."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.retraining.replicated import over_replicates

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Ats:
    """ATS, adding the training sample (Nguyen et al. 2023, arXiv 2305.19765): what one more step on a row does, when trained.

    A value is the query's output after the step less the output before it: for small steps of "sgd" the rate times the product
    of the gradients (`grad-dot`). The authors' first step of "adam" is the sign of the row's gradient, so that every parameter
    moves as far: at the training's own rate it foretold nothing (LDS 0.00 where "sgd" had 0.55, 30 queries of the facts of
    `python -m eval lds`). It says what a row would add once more, not what is lost without it. Replicates are runs with other
    seeds, whose spread is the error: an effect that it drowns is the training's chance, not the row's. `baseline`: the output
    less all values.

    Cost: 1, and a step and all queries for each row
    """

    name: ClassVar[str] = "ats"
    family: ClassVar[str] = "predictive"
    ignores: ClassVar[tuple[str, ...]] = ("jobs",)
    optimizer: Literal["sgd", "adam"] = option("sgd", "what takes the step")
    step_size: float | Literal["auto"] = option("auto", "the step's learning rate; auto: the height of the training's own")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; errors over several replicates."""
        from llmattr.retraining.one_row import added

        trainer = ablation.causal(self.name)
        rate = trainer.recipe.for_rows(len(trainer.rows)).learning_rate if self.step_size == "auto" else self.step_size
        return over_replicates(self, ablation, partial(added, trainer, optimizer=self.optimizer, rate=float(rate)), seed)
