"""Reaching a model's attention by the documented interface of transformers for attention functions.

Each layer keeps its own mask (causal, sliding window), its own scaling and its own kernel.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypedDict, Unpack, runtime_checkable

import torch
from torch import Tensor

from llmattr.errors import LlmattrError
from llmattr.model.contract import Weights
from llmattr.model.forward import abilities, evaluating, setting

Attended = tuple[Tensor, Any]  # output, and weights [1, h, q, s] or None


class AttentionOptions(TypedDict, total=False):
    """What layers give their attention beside tensors; some give more, which is handed on as it is."""

    dropout: float
    scaling: float | None
    is_causal: bool | None
    sliding_window: int | None
    softcap: float | None
    s_aux: Tensor | None


@runtime_checkable
class Attend(Protocol):
    """What does the work of an attention layer."""

    def __call__(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        /,
        **options: Unpack[AttentionOptions],
    ) -> Attended:
        """Its output, and its weights where they are wanted."""
        ...


OURS = "llmattr"  # and the thread's number
BESIDES = ("softcap", "s_aux")  # what some models do to attention logits, which PyTorch's attention knows nothing of


@contextmanager
def attending(lm: Weights, attend: Attend) -> Iterator[None]:
    """Within, `attend(module, query [1,h,s,d], key, value, mask [1,1,s,s], **options)` does the work of every attention layer.

    The mask is additive and never None. What the model used before is restored. Raises `LlmattrError` for a model whose
    attention cannot be reached, or which has none.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    reached, ours = False, f"{OURS}-{threading.get_ident()}"  # the registry is the process's

    def reach(module: torch.nn.Module, *tensors: Tensor, **options: Unpack[AttentionOptions]) -> Attended:
        nonlocal reached
        reached = True
        return attend(module, *tensors, **options)

    abilities(lm.model)
    with evaluating(lm.model):
        ALL_ATTENTION_FUNCTIONS[ours] = reach
        ALL_MASK_ATTENTION_FUNCTIONS.register(ours, eager_mask)
        before = _implementations(lm)
        try:
            if hasattr(lm.model, "set_attn_implementation"):
                lm.model.set_attn_implementation(ours)
            if setting(lm.model.config, "_attn_implementation") != ours:
                raise _unreachable(lm)
            yield
            if not reached:
                raise _unreachable(lm)
        finally:
            if setting(lm.model.config, "_attn_implementation") == ours:
                lm.model.set_attn_implementation(before)
            del ALL_ATTENTION_FUNCTIONS[ours]


def _implementations(lm: Weights) -> dict[str, str]:
    """The attention of the model and of each of its parts, as `set_attn_implementation` takes it."""
    config = lm.model.config
    parts = {name: setting(config, name) for name in setting(config, "sub_configs", {})}
    own = {"": setting(config, "_attn_implementation", "eager")}
    return own | {name: part._attn_implementation for name, part in parts.items() if part is not None}


def _unreachable(lm: Weights) -> LlmattrError:
    name = lm.name or type(lm.model).__name__
    return LlmattrError(f"the attention of {name} cannot be reached: use context-cite, leave-one-out or gradient-input")


def own_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **options: Unpack[AttentionOptions]
) -> Attended:
    """The layer's attention as the model would do it: PyTorch's fused one where it applies."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if any(options.get(name) is not None for name in BESIDES):
        return weighted_attention(module, query, key, value, mask, **options)
    return sdpa_attention_forward(module, query, key, value, mask, **options)


def weighted_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **options: Unpack[AttentionOptions]
) -> Attended:
    """The layer's attention with its weights [1, h, q, s], by the eager function of the model's own file."""
    eager = vars(sys.modules[type(module).__module__]).get("eager_attention_forward")
    if eager is None:
        raise LlmattrError(f"{type(module).__name__} gives no attention weights: use source-gates or context-cite")
    return eager(module, query, key, value, mask, **options)
