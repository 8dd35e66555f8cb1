"""Layer-wise relevance propagation (LRP): input times gradient, with conserving rules where gradients say nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr.context.methods.gradients import in_nats, of_input, relevance
from llmattr.core.attribution import Attribution

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


@dataclass(frozen=True)
class CpLrp:
    """Relevance by CP-LRP: as gradient-input, but norms, attention and gates are constants, so that the signs are right.

    `values[t, i] = sum over the source's tokens of x . df_t/dx` where what a step multiplies by takes no part in the gradient
    (Ali et al. 2022, arXiv 2202.07304), in nats of log-odds. All tokens together, the question's and the response's too, have
    the sum of `l_k df_t/dl_k` over the logits l, less what biases and position embeddings give.

    Cost: 2
    """

    name: ClassVar[str] = "cp-lrp"
    family: ClassVar[str] = "predictive"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """One row of scores per target; `baseline` = f(all) - sum of values."""
        return in_nats(ablation, of_input(ablation, relevance, "cp"), self, seed)


@dataclass(frozen=True)
class AttnLrp:
    """Relevance by AttnLRP: as cp-lrp, but attention's weights and gates have a share of their own, by halves.

    A product gives half of its relevance to either factor, and attention's weights hand theirs on by the softmax's gradient
    (Achtibat et al. 2024, arXiv 2402.05602), in nats of log-odds. What the softmax hands on does not add up to what it got.

    Cost: 2
    """

    name: ClassVar[str] = "attn-lrp"
    family: ClassVar[str] = "predictive"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """One row of scores per target; `baseline` = f(all) - sum of values."""
        return in_nats(ablation, of_input(ablation, relevance, "attn"), self, seed)
