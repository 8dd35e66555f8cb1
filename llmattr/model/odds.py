"""Log-odds `log p - log(1 - p)` of what was said: of logits, and of log-probabilities, to and fro."""

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError

CHUNK = 64  # response positions whose logits are turned to float32 at once
SUREST = -1e-300  # log-probability: the log-odds of 0 itself would be infinite
SUREST_FLOAT32 = -1e-30  # the same where float32 knows it from 0

LogProbs = Float[np.ndarray, " r"]  # nats, of a response's tokens
LogOdds = Float[np.ndarray, " r"]  # nats, of the same


def log_odds_of_logits(logits: Float[torch.Tensor, "r v"], tokens: Int[torch.Tensor, " r"]) -> Float[torch.Tensor, " r"]:
    """`l_y - logsumexp_{j != y} l_j` of each token y, in float32 or better, with a graph for gradients.

    >>> log_odds_of_logits(torch.tensor([[0.0, 3.0]]), torch.tensor([1])).tolist()
    [3.0]
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    chosen = logits.gather(1, tokens[:, None])[:, 0]
    others = logits.scatter(1, tokens[:, None], -torch.inf).logsumexp(1)
    return chosen - others


def log_odds(logits: Float[torch.Tensor, "r v"], tokens: Int[torch.Tensor, " r"]) -> LogOdds:
    """`log_odds_of_logits` in numpy, a few positions at a time; raises `LlmattrError` for NaN."""
    chunks = zip(logits.split(CHUNK), tokens.split(CHUNK), strict=True)
    odds = torch.cat([log_odds_of_logits(*chunk) for chunk in chunks]).cpu().numpy().astype(np.float64)
    if np.isnan(odds).any():
        bad = int(np.isnan(odds).argmax())
        raise LlmattrError(f"the model gave NaN at response token {bad + 1} of {len(odds)}: {nan_advice(logits.dtype)}")
    return odds


def doubt(logprobs: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """`1 - p` of log-probabilities in nats, with all its digits; never 0.

    >>> doubt(np.log([0.25])).round(12).tolist()
    [0.75]
    """
    return -np.expm1(np.minimum(logprobs, SUREST))


def log_odds_of_logprobs(logprobs: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """`log p - log(1 - p)` of log-probabilities in nats; finite for any.

    >>> log_odds_of_logprobs(np.log([0.5, 0.75])).round(12).tolist()
    [0.0, 1.098612288668]
    """
    return logprobs - np.log(doubt(logprobs))


def log_odds_of_logprob_tensor(logprobs: Float[torch.Tensor, "*any"]) -> Float[torch.Tensor, "*any"]:
    """`log_odds_of_logprobs` with a graph for gradients, finite in float32, too."""
    return logprobs - torch.log(-torch.expm1(torch.clamp(logprobs, max=SUREST_FLOAT32)))


def logprobs_of_log_odds(odds: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """`log p` in nats, the inverse: `-log(1 + exp(-odds))`.

    >>> np.exp(logprobs_of_log_odds(np.array([0.0, np.log(3)]))).round(12).tolist()
    [0.5, 0.75]
    """
    return -np.logaddexp(0.0, -odds)


def nan_advice(dtype: torch.dtype) -> str:
    """What to do about NaN in a model of this type."""
    wide = dtype in (torch.float32, torch.float64)
    return "its weights are damaged or no numbers" if wide else "try --dtype float32 (dtype=)"
