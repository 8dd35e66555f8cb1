"""Source gates: a few backward passes through weights on the sources' attention, in place of many ablations."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Unpack

import numpy as np
from jaxtyping import Float

from llmattr.context.methods.gradients import gauss_legendre, in_nats
from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.model.attention import Attended, AttentionOptions


@dataclass(frozen=True)
class SourceGates:
    """Gradients of gates on the attention to each source, from hidden to seen: as good as many ablations, in a few passes.

    A gate `w_i` in (0, 1] multiplies the attention that the tokens of source i receive from every position outside of it:
    `log w_i` is added to the attention logits in all layers and heads. `values[t, i] = integral of df_t/dw_i` along the
    diagonal from all 0 to all 1, by Gauss-Legendre, so the values add up to what all sources do together; in nats of
    log-odds. (On SmolLM2 three points rank sources as four even ones do, and are nearer to the integral.)

    Cost: about 8
    """

    name: ClassVar[str] = "source-gates"
    family: ClassVar[str] = "predictive"
    points: int = option(3, "points between hidden and seen; one forward pass each, and one backward pass a sentence", least=1)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target; `baseline` = f(all) - sum of values."""
        from llmattr.model.inside import frozen

        with frozen(ablation.weights, len(ablation.located().ids)):
            values = sum(share * gate_gradients(ablation, point) for point, share in gauss_legendre(self.points))
        return in_nats(ablation, np.asarray(values), self, seed, gradient_passes=self.points)


def gate_gradients(ablation: "ContextAblation", point: float) -> Float[np.ndarray, "t n"]:
    """`df / dw_i` with every gate at `point`, in nats of log-odds."""
    import torch

    from llmattr.model.inside import response_log_odds, target_gradients

    lm, full = ablation.opened()
    dtype = torch.promote_types(lm.dtype, torch.float32)
    gates = torch.full((len(ablation.sources),), point, dtype=dtype, device=lm.device, requires_grad=True)
    with gated(ablation, gates):
        log_odds = response_log_odds(lm, full)
        return target_gradients(log_odds, ablation.target_tokens, ablation.targets.measure, gates, lambda gradient: gradient)


@contextmanager
def gated(ablation: "ContextAblation", gates: "Tensor") -> Iterator[None]:
    """Within, gates `w` [n] in (0, 1] weight the attention to the sources of the whole prompt; gradients reach them."""
    import torch

    from llmattr.model.attention import attending, own_attention
    from llmattr.model.inside import source_of

    owner = torch.tensor(source_of(ablation.located()), device=gates.device)
    by_key = torch.cat([gates.log(), gates.new_zeros(1)])[owner]  # a token of no source takes the last: no gate
    bias = torch.where(owner[:, None] != owner, by_key, 0.0)

    def attend(
        module: "Module",
        query: "Tensor",
        key: "Tensor",
        value: "Tensor",
        mask: "Tensor",
        **options: "Unpack[AttentionOptions]",
    ) -> "Attended":
        return own_attention(module, query, key, value, mask + bias.to(mask), **options)

    with attending(ablation.weights, attend):
        yield
