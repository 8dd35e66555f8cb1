"""Attention: how much the positions that predict the target look at each source."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Unpack

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from torch import Tensor, device
    from torch.nn import Module

    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.model.attention import Attended, AttentionOptions


@dataclass(frozen=True)
class Attention:
    """Attention to each source from where the target is predicted: one pass, corroborates at best.

    mean: the attention mass on the source's tokens, averaged over layers, heads and the positions before the target's tokens.
    rollout: the same rows of the product over layers of `(A + I) / 2`, A averaged over heads (Abnar and Zuidema 2020, arXiv
    2005.00928, equation 1). A share of attention in [0, 1], not in nats: nothing is cited by it.

    Cost: 1
    """

    name: ClassVar[str] = "attention"
    family: ClassVar[str] = "corroborative"
    kind: Literal["mean", "rollout"] = option("mean", "average of layers and heads, or the product of layers")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Shares of attention, one row per target; no baseline."""
        from llmattr.context.methods.retrieval import similarities

        values = attention_mass(ablation).mean(axis=(2, 3)) if self.kind == "mean" else rollout(ablation)
        return similarities(self, ablation, values, "attention")


def attention_mass(ablation: "ContextAblation") -> Float[np.ndarray, "t n l h"]:
    """Attention from the positions before each target's tokens (their mean) to each source (the sum over its tokens).

    Of the whole prompt, layer by layer and head by head; only some rows of one layer's weights are held at a time.
    """
    import torch

    from llmattr.model.inside import response_attention

    columns = _columns(ablation, ablation.weights.device)
    masses = response_attention(
        ablation.weights, ablation.located(), lambda weights: weights.to(torch.float64) @ columns.to(weights.device)
    )
    return np.stack([_of_targets(mass.cpu().numpy(), ablation) for mass in masses], axis=2)


def _of_targets(mass: Float[np.ndarray, "h r n"], ablation: "ContextAblation") -> Float[np.ndarray, "t n h"]:
    """The mean over each target's tokens."""
    return np.stack([mass[:, first:last].mean(axis=1).T for first, last in ablation.target_tokens])


def rollout(ablation: "ContextAblation") -> Float[np.ndarray, "t n"]:
    """Rows of `prod_l (A_l + I) / 2` at the positions before each target's tokens, summed over each source's tokens.

    The product is taken from the input upwards on the sources' columns alone: [s, n] at a time, never [s, s].
    """
    import torch

    from llmattr.model.attention import attending, own_attention
    from llmattr.model.inside import attention_rows, response_log_odds

    full = ablation.located()
    flow = _columns(ablation, ablation.weights.device)

    def attend(
        module: "Module",
        query: "Tensor",
        key: "Tensor",
        value: "Tensor",
        mask: "Tensor",
        **options: "Unpack[AttentionOptions]",
    ) -> "Attended":
        nonlocal flow
        flow = flow.to(query.device)
        rows = torch.arange(len(full.ids))
        chunks = attention_rows(rows, module, query=query, key=key, value=value, mask=mask, **options)
        flow = (torch.cat([weights.mean(dim=0).to(torch.float64) @ flow for weights in chunks]) + flow) / 2
        return own_attention(module, query, key, value, mask, **options)

    with torch.inference_mode(), attending(ablation.weights, attend):
        response_log_odds(ablation.weights, full)
    said = flow.cpu().numpy()[full.response.start - 1 : full.response.stop - 1]
    return np.stack([said[first:last].mean(axis=0) for first, last in ablation.target_tokens])


def _columns(ablation: "ContextAblation", device: "device") -> "Tensor":
    """Which tokens are whose: float64 [s, n], 1 where a source has a token."""
    import torch

    from llmattr.model.inside import source_of

    owner = source_of(ablation.located())
    return torch.tensor(owner[:, None] == np.arange(len(ablation.sources)), dtype=torch.float64, device=device)
