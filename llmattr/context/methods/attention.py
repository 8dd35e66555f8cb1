"""Attention: how much the positions that predict the target look at each source."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from torch import Tensor

    from llmattr.context.removal.ablation import ContextAblation


@dataclass(frozen=True)
class Attention:
    """Attention to each source from where the target is predicted: one pass, corroborates at best.

    mean: the attention mass on the source's tokens, averaged over layers, heads and the positions before the target's tokens.
    length: of each head the length of what it carries by that mass, `sum_h a_h |f_h(x)|` (Kobayashi et al. 2020, arXiv
    2004.10102), averaged over layers: a token that much attention rests on but that gives nothing counts nothing. rollout: the
    same rows of the product over layers of `(A + I) / 2`, A averaged over heads (Abnar and Zuidema 2020, arXiv 2005.00928,
    equation 1). Not in nats: nothing is cited by it.

    Cost: 1
    """

    name: ClassVar[str] = "attention"
    family: ClassVar[str] = "corroborative"
    kind: Literal["mean", "length", "rollout"] = option(
        "mean", "mean of layers and heads, of the length of what they carry, or product"
    )

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Shares of attention, or lengths, one row per target; no baseline."""
        from llmattr.context.methods.retrieval import similarities
        from llmattr.context.methods.rollout import rollout

        if self.kind == "length":
            return similarities(self, ablation, carried(ablation), "length")
        values = attention_mass(ablation).mean(axis=(2, 3)) if self.kind == "mean" else rollout(ablation)
        return similarities(self, ablation, values, "attention")


def carried(ablation: "ContextAblation") -> Float[np.ndarray, "t n"]:
    """`sum_h a_h |f_h(x)|` of each source's tokens, the mean over layers and over the positions before each target's tokens."""
    import torch

    from llmattr.model.heads import heads_at_work
    from llmattr.model.inside import columns, response_attention

    owned = columns(ablation.located(), ablation.weights.device)
    with heads_at_work(ablation.weights) as at:

        def reduce(weights: "Tensor", value: "Tensor") -> "Tensor":
            lengths = at(value, len(weights)).lengths()[:, None]
            return (weights * lengths).sum(dim=0, keepdim=True).to(torch.float64) @ owned.to(weights.device)

        layers = response_attention(*ablation.opened(), reduce)
    return np.mean([_of_targets(layer.cpu().numpy(), ablation)[:, :, 0] for layer in layers], axis=0)


def attention_mass(ablation: "ContextAblation") -> Float[np.ndarray, "t n l h"]:
    """Attention from the positions before each target's tokens (their mean) to each source (the sum over its tokens).

    Of the whole prompt, layer by layer and head by head; only some rows of one layer's weights are held at a time.
    """
    import torch

    from llmattr.model.inside import columns, response_attention

    owned = columns(ablation.located(), ablation.weights.device)
    masses = response_attention(
        *ablation.opened(), lambda weights, _values: weights.to(torch.float64) @ owned.to(weights.device)
    )
    return np.stack([_of_targets(mass.cpu().numpy(), ablation) for mass in masses], axis=2)


def _of_targets(mass: Float[np.ndarray, "h r n"], ablation: "ContextAblation") -> Float[np.ndarray, "t n h"]:
    """The mean over each target's tokens."""
    return np.stack([mass[:, first:last].mean(axis=1).T for first, last in ablation.target_tokens])
