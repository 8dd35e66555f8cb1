"""A model's weights as they lie in memory: some values of each, and whether they are all there."""

from collections.abc import Mapping

import torch

from llmattr.errors import LlmattrError

VALUES = 1024  # of each weight, which tell it from another


def check_whole(model: torch.nn.Module) -> None:
    """Raise `LlmattrError` for weights that lie in parts with several processes (`fully_shard`)."""
    if any(type(weight).__module__.startswith("torch.distributed") for weight in model.parameters()):
        raise LlmattrError(
            "the model's weights lie in parts with several processes (fully_shard), and each process needs them whole: "
            'save it, and give its folder (device="auto" spreads one that is too big for a device over all of a machine)'
        )


def weights_told(state: Mapping[str, object]) -> bytes:
    """Names, shapes and up to 1,024 values of each weight, whatever its type; of what is no tensor its tensors, or nothing."""
    told: list[bytes] = []
    for name, weight in sorted(state.items()):
        given = weight if isinstance(weight, tuple) else (weight,)  # packed: a weight with its bias
        told += [f"{name}{tuple(one.shape)}".encode() + _values(one) for one in given if isinstance(one, torch.Tensor)]
    return b"".join(told)


def _values(weight: torch.Tensor) -> bytes:
    """The same in float32 and in bfloat16."""
    flat = (weight.dequantize() if weight.is_quantized else weight).detach().flatten()
    return flat[:: max(1, flat.numel() // VALUES)].bfloat16().view(torch.int16).cpu().numpy().tobytes()
