"""What attention heads carry from token to token, and what a token has before: the parts that a layer adds up."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float

from llmattr.model.contract import Weights
from llmattr.model.layers import Layer, layers_of


class Heads(NamedTuple):
    """One layer at work: what it reads x, each head's values, and what the output matrix writes of each of their numbers.

    Head h carries `a_h[i, j] values[h, j] @ written[h]` from token j to token i, where a is its attention.
    """

    x: Float[torch.Tensor, "s d"]
    values: Float[torch.Tensor, "h s k"]
    written: Float[torch.Tensor, "h k d"]

    def lengths(self) -> Float[torch.Tensor, "h s"]:
        """`|values[h, j] @ written[h]|`, without the vectors themselves."""
        gram = self.written @ self.written.mT
        return ((self.values @ gram) * self.values).sum(dim=2).clamp(min=0).sqrt()


At = Callable[[torch.Tensor, int], Heads]


@contextmanager
def heads_at_work(lm: Weights) -> Iterator[At]:
    """Within a pass, `at(value [1, h', s, k], h)` are the h heads of the layer at work; of values there may be fewer.

    Raises `LlmattrError` for a model whose attention cannot be reached.
    """
    now: list[tuple[Layer, torch.Tensor]] = []

    def enter(layer: Layer, _module: torch.nn.Module, given: tuple[object, ...], named: Mapping[str, object]) -> None:
        x = next(one for one in (*given, *named.values()) if isinstance(one, torch.Tensor))
        now[:] = [(layer, x[0])]

    def at(value: torch.Tensor, heads: int) -> Heads:
        layer, x = now[0]
        values = value[0].repeat_interleave(heads // value.shape[1], dim=0)
        wide = torch.promote_types(value.dtype, torch.float32)
        return Heads(x.to(wide), values.to(wide), _written(layer, value, heads).to(wide))

    with ExitStack() as hooks:
        for layer in layers_of(lm):
            hooks.callback(layer.module.register_forward_pre_hook(partial(enter, layer), with_kwargs=True).remove)
        yield at


def _written(layer: Layer, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Found by giving the matrix each number alone, whatever its kind; its bias belongs to no head."""
    assert layer.projection is not None  # its attention is at work
    width = value.shape[3]
    each = torch.eye(heads * width, dtype=value.dtype, device=value.device)
    return (layer.projection(each) - layer.projection(torch.zeros_like(each[:1]))).view(heads, width, -1)
