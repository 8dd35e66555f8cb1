"""Gradients of the targets with respect to the input embeddings of the whole prompt."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.ablation import ask
from llmattr.context.contract import Method
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.surrogate.sampling import attribution

if TYPE_CHECKING:
    from torch import Tensor

    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.model.contract import Weights


def in_nats(
    ablation: "ContextAblation", values: Float[np.ndarray, "t n"], method: Method, seed: int, **record: int
) -> Attribution:
    """Values in the targets' own unit; `baseline` is what they leave of the whole prompt's f."""
    (full,) = ask(ablation, np.ones((1, len(ablation.sources)), dtype=bool))
    baseline = full - values.sum(axis=1)
    return attribution(ablation, describe(method), {**record, "seed": seed}, values=values, baseline=baseline)


@dataclass(frozen=True)
class GradientInput:
    """Input embeddings times their gradient, summed over each source: one pass, not to be trusted alone.

    `values[t, i] = sum over the source's tokens of x . df_t/dx` (dot, in nats of log-odds, Shrikumar et al. 2016, arXiv
    1605.01713), or the norm `|df_t/dx|` over all of the source's tokens (l2: how much it matters, without a sign or a unit).

    Cost: 2
    """

    name: ClassVar[str] = "gradient-input"
    family: ClassVar[str] = "predictive"
    norm: Literal["dot", "l2"] = option("dot", "embedding times gradient, or the length of the gradient")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """One row of scores per target; `baseline` = f(all) - sum of values for dot, None for l2."""
        from llmattr.context.methods.retrieval import similarities
        from llmattr.model import inside

        full, of = ablation.located(), (ablation.target_tokens, ablation.targets.measure)

        def times(gradient: "Tensor") -> "Tensor":
            return inside.per_source((gradient * x)[0].sum(dim=1), full)

        def length(gradient: "Tensor") -> "Tensor":
            return inside.per_source((gradient[0] ** 2).sum(dim=1), full).sqrt()

        with inside.frozen(ablation.weights, len(full.ids)), inside.embedded(ablation.weights, lambda x: x) as read:
            log_odds = inside.response_log_odds(ablation.weights, full)
            x = read[0]
            if self.norm == "l2":
                values = inside.target_gradients(log_odds, *of, x, length, linear=False)
                return similarities(self, ablation, values, "gradient norm")
            values = inside.target_gradients(log_odds, *of, x, times)
        return in_nats(ablation, values, self, seed)


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients along the straight line from blank source embeddings to the real ones; they add up to the whole change.

    `values[t, i] = sum over the source's tokens of (x - x') . mean_a df_t/dx at x' + a (x - x')`, a = the midpoints of `steps`
    equal parts of [0, 1], x' = the blank; query, template and response stay as they are (Sundararajan et al. 2017, arXiv
    1703.01365, equation 3). The sum of the values tends to f(all) - f(blank) as the steps grow.

    Cost: about 19
    """

    name: ClassVar[str] = "integrated-gradients"
    family: ClassVar[str] = "predictive"
    steps: int = option(8, "points on the way from blank to real sources; one forward and backward pass each", least=1)
    blank: Literal["zero", "pad"] = option("zero", "what stands for a blank token: no embedding at all, or the padding token's")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target; `baseline` = f(all) - sum of values."""
        from llmattr.model import inside

        points = (np.arange(self.steps) + 0.5) / self.steps
        with inside.frozen(ablation.weights, len(ablation.located().ids)):
            values = np.mean([self.at(ablation, point) for point in points], axis=0)
        return in_nats(ablation, values, self, seed, gradient_passes=self.steps)

    def at(self, ablation: "ContextAblation", point: float) -> Float[np.ndarray, "t n"]:
        """`(x - x') . df/dx` of each source at one point of the way."""
        import torch

        from llmattr.model import inside

        full, blank = ablation.located(), _blank(ablation.weights, self.blank)
        of_sources = torch.tensor(inside.source_of(full) >= 0, device=blank.device)[:, None]
        way: list[Tensor] = []

        def step(x: "Tensor") -> "Tensor":
            way.append(torch.where(of_sources, x - blank.to(x), 0.0))
            return x - (1 - point) * way[0]

        with inside.embedded(ablation.weights, step) as read:
            log_odds = inside.response_log_odds(ablation.weights, full)
        return inside.target_gradients(
            log_odds,
            ablation.target_tokens,
            ablation.targets.measure,
            read[0],
            lambda gradient: inside.per_source((gradient * way[0])[0].sum(dim=1), full),
        )


def _blank(lm: "Weights", kind: str) -> "Tensor":
    """The embedding [d] of a blank token."""
    import torch

    table = lm.model.get_input_embeddings()
    weight = table.get_parameter("weight")
    if kind == "zero":
        return torch.zeros(weight.shape[1], dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        return table(torch.tensor(lm.pad_id, device=weight.device)).clone()
