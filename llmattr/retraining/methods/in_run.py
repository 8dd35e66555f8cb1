"""In-run Data Shapley: what each row's gradient did to the queries in every step of one training run, to first order."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.retraining.replicated import over_replicates

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class InRunShapley:
    """In-run Data Shapley, first order (Wang et al. 2024, arXiv 2406.11011): one training run; what each row did in it.

    A step moves the parameters by a sum over the rows of its batch; a row's value is the sum over its steps of the gradient of
    the query's output times the row's part of the move, which is the Shapley value where outputs are linear in the parameters.
    The run is AdamW's own, to the bit: a part is the row's clipped gradient times AdamW's step sizes `rate / (sqrt(v) + eps)`
    with v as it is after the step, at most `cap` times that of the mean sqrt(v) of their tensor: where a batch's gradients
    cancel, v is next to nothing, and the large parts of single rows are noise that cancels too. What momentum carries over is
    counted at once, with the rates of the steps that it goes to, as if the query's gradient stayed as it is for these (some
    ten) steps. Weight decay belongs to no row. `baseline` is the output before training: baseline and values add up to about
    the output after it (`details["after"]`). Means over the replicates.

    `product` "cosine": in each step rows and queries are brought to unit length, in the metric of AdamW's step sizes, and the
    step counts by its rate, so that surprising rows do not win by their long gradients. That is no Shapley value and has no
    unit, but its order may foretell training without some rows better (`python -m eval facts`). `every`: the queries' gradients
    are taken anew only every so many steps, since with hundreds of queries most of the time goes into them; they are held in
    memory, a number for each query and parameter.

    Cost: 1
    """

    name: ClassVar[str] = "in-run-shapley"
    family: ClassVar[str] = "game-theoretic"
    ignores: ClassVar[tuple[str, ...]] = ("jobs",)
    cap: float = option(
        3.0, "a step size counts for at most so many times that of its tensor's mean gradient; 0: for all it is"
    )
    product: Literal["dot", "cosine"] = option("dot", "dot: nats, which add up; cosine: rows and queries at unit length")
    every: int = option(
        1, "steps between two looks at the queries' gradients; 1 is exact, 20 is faster for many queries", least=1
    )

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; errors over the replicates where there are several."""
        from llmattr.retraining.first_order import in_run

        trainer = ablation.causal(self.name)
        run = partial(in_run, trainer, cap=self.cap, every=self.every, product=self.product)
        found = over_replicates(self, ablation, run, seed)
        if self.product == "dot":
            return found
        targets = dataclasses.replace(found.targets, measure="similarity")
        return dataclasses.replace(found, targets=targets, unit="cosines of gradients times rates", baseline=None)
