"""Inside the model on the whole prompt: its attention layer by layer, and the response's log-odds with a graph.

Attention is reached by the documented interface of transformers for attention functions, so each layer keeps its own mask
(causal, sliding window), its own scaling and its own kernel.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError
from llmattr.lm import LM
from llmattr.prompt import Rendered
from llmattr.scoring import accepted

Attend = Callable[..., tuple[torch.Tensor, Any]]  # (module, query, key, value, mask, **options) -> (output, weights or None)

OURS = "llmattr"
ROWS = 128  # query positions whose attention weights are held at once


def source_of(full: Rendered) -> Int[np.ndarray, " s"]:
    """The source of each token of prompt and response, -1 for a token of none."""
    owner = np.full(len(full.ids), -1)
    for source, (first, last) in enumerate(full.sources):
        owner[first:last] = source
    return owner


@contextmanager
def attending(lm: LM, attend: Attend) -> Iterator[None]:
    """Within, `attend(module, query [1,h,s,d], key, value, mask [1,1,s,s], **options)` does the work of every attention layer.

    The mask is additive and never None. What the model used before is restored. Raises `LlmattrError` for a model whose
    attention cannot be reached, or which has none.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    reached = False

    def reach(*given: Any, **options: Any) -> tuple[torch.Tensor, Any]:
        nonlocal reached
        reached = True
        return attend(*given, **options)

    ALL_ATTENTION_FUNCTIONS[OURS] = reach
    ALL_MASK_ATTENTION_FUNCTIONS.register(OURS, eager_mask)
    before = _implementations(lm)
    try:
        if hasattr(lm.model, "set_attn_implementation"):
            lm.model.set_attn_implementation(OURS)
        if getattr(lm.model.config, "_attn_implementation", None) != OURS:
            raise _unreachable(lm)
        yield
        if not reached:
            raise _unreachable(lm)
    finally:
        if getattr(lm.model.config, "_attn_implementation", None) == OURS:
            lm.model.set_attn_implementation(before)
        del ALL_ATTENTION_FUNCTIONS[OURS]


def _implementations(lm: LM) -> dict[str, str]:
    """The attention of the model and of each of its parts, as `set_attn_implementation` takes it."""
    config = lm.model.config
    parts = {name: getattr(config, name, None) for name in getattr(config, "sub_configs", {})}
    own = {"": getattr(config, "_attn_implementation", "eager")}
    return own | {name: part._attn_implementation for name, part in parts.items() if part is not None}


def _unreachable(lm: LM) -> LlmattrError:
    name = lm.name or type(lm.model).__name__
    return LlmattrError(f"the attention of {name} cannot be reached: use context-cite, leave-one-out or gradient-input")


def own_attention(
    module: Any, query: Any, key: Any, value: Any, mask: torch.Tensor, **options: Any
) -> tuple[torch.Tensor, Any]:
    """The layer's attention as the model would do it: PyTorch's fused one where it applies."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if any(options.get(name) is not None for name in ("softcap", "s_aux")):
        return weighted_attention(module, query, key, value, mask, **options)
    return sdpa_attention_forward(module, query, key, value, mask, **options)


def weighted_attention(
    module: Any, query: Any, key: Any, value: Any, mask: torch.Tensor, **options: Any
) -> tuple[torch.Tensor, Any]:
    """The layer's attention with its weights [1, h, q, s], by the eager function of the model's own file."""
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if eager is None:
        raise LlmattrError(f"{type(module).__name__} gives no attention weights: use source-gates or context-cite")
    return eager(module, query, key, value, mask, **options)


def attention_rows(
    rows: Int[torch.Tensor, " q"], module: Any, query: Any, key: Any, value: Any, mask: torch.Tensor, **options: Any
) -> Iterator[Float[torch.Tensor, "h c s"]]:
    """The attention weights of these query positions, a few at a time."""
    for some in rows.to(query.device).split(ROWS):
        yield weighted_attention(module, query[:, :, some], key, value, mask[:, :, some], **options)[1][0]


def response_log_odds(lm: LM, full: Rendered) -> Float[torch.Tensor, " r"]:
    """Log-odds `l_y - logsumexp_{j != y} l_j` of each response token, with a graph for gradients; as `LM.logprobs`."""
    lm._check_window(len(full.ids))
    first, last = full.response.start, full.response.stop
    ids = torch.tensor([full.ids], device=lm.device)
    known = accepted(lm.model)
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}
    if "logits_to_keep" in known:
        keep = torch.arange(first - 1, last - 1, device=lm.device)
        logits = lm.model(input_ids=ids, logits_to_keep=keep, **options).logits[0]
    else:
        logits = lm.model(input_ids=ids, **options).logits[0, first - 1 : last - 1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    said = ids[0, first:last, None].to(logits.device)
    log_odds = logits.gather(1, said)[:, 0] - logits.scatter(1, said, -torch.inf).logsumexp(1)
    if log_odds.isnan().any():
        raise LlmattrError("the model gave NaN for the response: try --dtype float32 (dtype=)")
    return log_odds
