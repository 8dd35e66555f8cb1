"""Inside the model on the whole prompt: which tokens are whose, attention weights, and the response's log-odds with a graph."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError
from llmattr.model.attention import weighted_attention
from llmattr.model.lm import LM
from llmattr.model.padded import logits_at, nan_advice
from llmattr.text.prompt import Rendered

ROWS = 128  # query positions whose attention weights are held at once


def source_of(full: Rendered) -> Int[np.ndarray, " s"]:
    """The source of each token of prompt and response, -1 for a token of none."""
    owner = np.full(len(full.ids), -1)
    for source, (first, last) in enumerate(full.sources):
        owner[first:last] = source
    return owner


def attention_rows(
    rows: Int[torch.Tensor, " q"], module: Any, query: Any, key: Any, value: Any, mask: torch.Tensor, **options: Any
) -> Iterator[Float[torch.Tensor, "h c s"]]:
    """The attention weights of these query positions, a few at a time."""
    for some in rows.to(query.device).split(ROWS):
        yield weighted_attention(module, query[:, :, some], key, value, mask[:, :, some], **options)[1][0]


def response_log_odds(lm: LM, full: Rendered) -> Float[torch.Tensor, " r"]:
    """Log-odds `l_y - logsumexp_{j != y} l_j` of each response token, with a graph for gradients; as `LM.logprobs`."""
    lm.check([full.ids])
    first, last = full.response.start, full.response.stop
    ids = torch.tensor([full.ids], device=lm.device)
    logits = logits_at(lm.model, torch.arange(first - 1, last - 1, device=lm.device), input_ids=ids)[0]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    said = ids[0, first:last, None].to(logits.device)
    log_odds = logits.gather(1, said)[:, 0] - logits.scatter(1, said, -torch.inf).logsumexp(1)
    if log_odds.isnan().any():
        raise LlmattrError(f"the model gave NaN for the response: {nan_advice(lm.dtype)}")
    return log_odds
