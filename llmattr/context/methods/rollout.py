"""Attention rollout: where what stands at the response came from, through all layers, in one pass by blocks of rows."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Unpack

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.model.attention import Attended, AttentionOptions
    from llmattr.model.heads import Heads

By = Literal["projection", "length", "attention"]
# From weights [h, c, seen], output [c, h, k] and numbers [c] of rows: what passes to them [c, seen] and what they keep [c, 1].
Share = Callable[["Tensor", "Tensor", "Tensor"], "tuple[Tensor, Tensor]"]


@dataclass(frozen=True)
class Rollout:
    """Attention rollout by what heads carry and tokens keep: one pass for long contexts, corroborates at best.

    Rows of `prod_l M_l` at the positions before the target's tokens, M's rows divided by their sums (Abnar and Zuidema 2020,
    arXiv 2005.00928). With x what a layer reads, z_h[i, j] what head h carries from token j to i, y_i all that meets there:
    projection: `M[i, j] = max(0, (sum_h z_h[i, j] + [i = j] x_i) . y_i)`, x apart from z (as Ferrando and Voita 2024, arXiv
    2403.00824, who measure nearness). length: `sum_h |z_h[i, j]| + [i = j] |x_i|` (Kobayashi et al. 2020, arXiv 2004.10102). A
    share in [0, 1], not in nats: nothing is cited by it. Feed-forward blocks, and norms behind the attention, are left out.

    Cost: 1
    """

    name: ClassVar[str] = "rollout"
    family: ClassVar[str] = "corroborative"
    by: Literal["projection", "length"] = option("projection", "what parts of a sum are measured by")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Shares of what stands where the target is predicted, one row per target; no baseline."""
        from llmattr.context.methods.retrieval import similarities

        return similarities(self, ablation, rollout(ablation, self.by), "attention")


def rollout(ablation: "ContextAblation", by: By = "attention") -> Float[np.ndarray, "t n"]:
    """Rows of the product of all layers' M at the positions before each target's tokens, summed over each source's tokens.

    By attention, M is the heads' mean and as much of what a token has. The product is taken from the input upwards on the
    sources' columns alone: [s, n] at a time, and of the attention a few rows.
    """
    import torch

    from llmattr.model.attention import attending
    from llmattr.model.heads import heads_at_work
    from llmattr.model.inside import columns, response_log_odds

    lm, full = ablation.opened()
    flow = columns(full, lm.device)

    def attend(
        module: "Module", query: "Tensor", key: "Tensor", value: "Tensor", mask: "Tensor", **options: "Unpack[AttentionOptions]"
    ) -> "Attended":
        nonlocal flow
        flow, heads = flow.to(query.device), at(value, query.shape[1]) if at else None
        share = SHARES[by](heads) if heads else _equal
        outputs, flows = [], []
        for output, weights, rows in blocks(module, query, key, value, mask, **options):
            passed, kept = (one.to(flow) for one in share(weights, output[0], rows))
            flows.append((passed @ flow[: passed.shape[1]] + kept * flow[rows]) / (passed.sum(dim=1, keepdim=True) + kept))
            outputs.append(output)
        flow = torch.cat(flows)
        return torch.cat(outputs, dim=1), None

    with torch.inference_mode(), heads_at_work(lm) if by in SHARES else nullcontext() as at, attending(lm, attend):
        response_log_odds(lm, full)
    said = flow.cpu().numpy()[full.response.start - 1 : full.response.stop - 1]
    return np.stack([said[first:last].mean(axis=0) for first, last in ablation.target_tokens])


def blocks(
    module: "Module", query: "Tensor", key: "Tensor", value: "Tensor", mask: "Tensor", **options: "Unpack[AttentionOptions]"
) -> "Iterator[tuple[Tensor, Tensor, Tensor]]":
    """Output [1, c, h, k], weights [h, c, seen] and numbers [c] of a few rows at a time; what none of them sees is left out."""
    import torch

    from llmattr.model.attention import weighted_attention
    from llmattr.model.inside import ROWS

    hidden = torch.finfo(mask.dtype).min
    for rows in torch.arange(query.shape[2], device=query.device).split(ROWS):
        seen = int((mask[0, 0, rows] > hidden).any(dim=0).nonzero().max()) + 1
        some = query[:, :, rows], key[:, :, :seen], value[:, :, :seen], mask[:, :, rows, :seen]
        output, weights = weighted_attention(module, *some, **options)
        yield output, weights[0], rows


def _equal(weights: "Tensor", _output: "Tensor", _rows: "Tensor") -> "tuple[Tensor, Tensor]":
    return weights.mean(dim=0), weights.new_ones(weights.shape[1], 1)


def _lengths(heads: "Heads") -> Share:
    carried, kept = heads.lengths(), heads.x.norm(dim=1, keepdim=True)
    return lambda weights, _output, rows: ((weights * carried[:, None, : weights.shape[2]]).sum(dim=0), kept[rows])


def _projections(heads: "Heads") -> Share:
    def share(weights: "Tensor", output: "Tensor", rows: "Tensor") -> "tuple[Tensor, Tensor]":
        kept = heads.x[rows]
        met = output.flatten(1).to(kept) @ heads.written.flatten(0, 1) + kept
        along = (met @ heads.written.flatten(0, 1).mT).view_as(output).transpose(0, 1)  # [h, c, k]
        passed = (weights * (along @ heads.values[:, : weights.shape[2]].mT)).sum(dim=0)
        return passed.clamp(min=0), (kept * met).sum(dim=1, keepdim=True).clamp(min=0)

    return share


SHARES = {"projection": _projections, "length": _lengths}
