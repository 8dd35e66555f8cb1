"""What a dictionary has to be better than: random directions, and the numbers of the hidden states themselves."""

from dataclasses import replace
from typing import Literal

import torch

from llmattr.components.features.dictionary import Origin, SparseAutoencoder
from llmattr.components.features.learning import unit

Baseline = Literal["random", "neurons"]


def baseline(like: SparseAutoencoder, kind: Baseline, seed: int = 0) -> SparseAutoencoder:
    """A dictionary at the same place that was not learnt: as many features are active at a token, around the same bias.

    "random": as many directions, drawn. "neurons": of each number of the hidden states one for above and one for below the
    bias, two for each (MIB: Mueller et al. 2025, arXiv 2504.13151, found features no better than these). Codes are projections.
    """
    n, d = like.rows.shape
    drawn = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    rows = unit(drawn if kind == "random" else torch.cat([torch.eye(d), -torch.eye(d)])).to(like.rows)
    origin = Origin(kind, like.origin.model, like.origin.model_hash)
    few = None if like.k is None else min(like.k, len(rows))
    return replace(like, encoder=rows, encoder_bias=-rows @ like.bias, rows=rows, k=few, threshold=None, origin=origin)
