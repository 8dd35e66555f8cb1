"""Integrated gradients: gradient x input, summed along the way from blank sources to the real ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.method import describe, option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients along the straight line from blank source embeddings to the real ones; they add up to the whole change.

    `values[t, i] = sum over the source's tokens of (x - x') . mean_a df_t/dx at x' + a (x - x')`, a = the midpoints of `steps`
    equal parts of [0, 1], x' = the blank; query, template and response stay as they are (Sundararajan et al. 2017, arXiv
    1703.01365, equation 3). The sum of the values tends to f(all) - f(blank) as the steps grow.
    """

    name: ClassVar[str] = "integrated-gradients"
    family: ClassVar[str] = "predictive"
    steps: int = option(8, "points on the way from blank to real sources; one forward and backward pass each", least=1)
    blank: Literal["zero", "pad"] = option("zero", "what stands for a blank token: no embedding at all, or the padding token's")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target; `baseline` = f(all) - sum of values."""
        from llmattr.context.gradients import frozen, in_nats

        points = (np.arange(self.steps) + 0.5) / self.steps
        with frozen(ablation.weights, len(ablation.located().ids)):
            values = np.mean([self.at(ablation, point) for point in points], axis=0)
        return in_nats(ablation, values, describe(self), seed, gradient_passes=self.steps)

    def at(self, ablation: "ContextAblation", point: float) -> Float[np.ndarray, "t n"]:
        """`(x - x') . df/dx` of each source at one point of the way."""
        import torch

        from llmattr.context.gradients import embedded, per_source, target_gradients
        from llmattr.context.internals import response_log_odds, source_of

        full, blank = ablation.located(), _blank(ablation.weights, self.blank)
        inside = torch.tensor(source_of(full) >= 0, device=blank.device)[:, None]
        way: list[Any] = []

        def step(x: Any) -> Any:
            way.append(torch.where(inside, x - blank.to(x), 0.0))
            return x - (1 - point) * way[0]

        with embedded(ablation.weights, step) as read:
            log_odds = response_log_odds(ablation.weights, full)
        return target_gradients(
            ablation, log_odds, read[0], lambda gradient: per_source((gradient * way[0])[0].sum(dim=1), full)
        )


def _blank(lm: Any, kind: str) -> Any:
    """The embedding [d] of a blank token."""
    import torch

    table = lm.model.get_input_embeddings()
    if kind == "zero":
        return torch.zeros(table.weight.shape[1], dtype=table.weight.dtype, device=table.weight.device)
    with torch.no_grad():
        return table(torch.tensor(lm.pad_id, device=table.weight.device)).clone()
