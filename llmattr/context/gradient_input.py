"""Gradient x input: how the target moves with the input embeddings of each source, to first order."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmattr.method import describe, option
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class GradientInput:
    """Input embeddings times their gradient, summed over each source: one pass, not to be trusted alone.

    `values[t, i] = sum over the source's tokens of x . df_t/dx` (dot, in nats of log-odds, Shrikumar et al. 2016, arXiv
    1605.01713), or the norm `|df_t/dx|` over all of the source's tokens (l2: how much it matters, without a sign or a unit).
    """

    name: ClassVar[str] = "gradient-input"
    family: ClassVar[str] = "predictive"
    norm: Literal["dot", "l2"] = option("dot", "embedding times gradient, or the length of the gradient")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """One row of scores per target; `baseline` = f(all) - sum of values for dot, None for l2."""
        from llmattr.context.gradients import embedded, frozen, in_nats, per_source, target_gradients
        from llmattr.context.internals import response_log_odds
        from llmattr.context.similarity import similarities

        full = ablation.located()

        def times(gradient: Any) -> Any:
            return per_source((gradient * x)[0].sum(dim=1), full)

        def length(gradient: Any) -> Any:
            return per_source((gradient[0] ** 2).sum(dim=1), full).sqrt()

        with frozen(ablation.weights, len(full.ids)), embedded(ablation.weights, lambda x: x) as read:
            log_odds = response_log_odds(ablation.weights, full)
            x = read[0]
            if self.norm == "l2":
                values = target_gradients(ablation, log_odds, x, length, linear=False)
                return similarities(self, ablation, values, "gradient norm")
            values = target_gradients(ablation, log_odds, x, times)
        return in_nats(ablation, values, describe(self), seed)
