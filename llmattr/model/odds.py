"""Log-odds of what was said, from logits."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    pass


CHUNK = 64  # response positions whose logits are turned to float32 at once


LogProbs = Float[np.ndarray, " r"]


def log_odds(logits: Float[torch.Tensor, "r v"], tokens: Int[torch.Tensor, " r"]) -> LogProbs:
    """`l_y - logsumexp_{j != y} l_j` of each token y in float32 or better, a few positions at a time; raises for NaN."""
    parts = []
    for chunk, token in zip(logits.split(CHUNK), tokens.split(CHUNK), strict=True):
        chunk = chunk.to(torch.promote_types(chunk.dtype, torch.float32))
        chosen = chunk.gather(1, token[:, None])
        others = chunk.scatter(1, token[:, None], -torch.inf).logsumexp(1)
        parts.append(chosen[:, 0] - others)
    odds = torch.cat(parts).cpu().numpy().astype(np.float64)
    if np.isnan(odds).any():
        bad = int(np.isnan(odds).argmax())
        raise LlmattrError(f"the model gave NaN at response token {bad + 1} of {len(odds)}: {nan_advice(logits.dtype)}")
    return odds


def nan_advice(dtype: torch.dtype) -> str:
    """What to do about NaN in a model of this type."""
    wide = dtype in (torch.float32, torch.float64)
    return "its weights are damaged or no numbers" if wide else "try --dtype float32 (dtype=)"
