"""Conserving rules of layer-wise relevance propagation (LRP), for models of any family.

Under them a model computes what it computes, to the bit, but its gradients are those of a model that is linear in its input:
what a step multiplies by counts as a constant. Input times gradient is then the relevance of LRP, and adds up to the output,
but for what biases and position embeddings give. Steps are known by what PyTorch is asked to do, never by a model's name.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeGuard, Unpack

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from llmattr.errors import LlmattrError
from llmattr.model.attention import Attended, AttentionOptions, attending, own_attention
from llmattr.model.contract import Weights

RuleSet = Literal["cp", "attn"]
Step = Callable[..., Tensor]
Number = Tensor | float | int

# What says how much of something else passes: the scale of a norm, a gate that saturates, the shares of a router.
SHARES = ("rsqrt", "sqrt", "reciprocal", "sigmoid", "softmax")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "leaky_relu", "elu", "celu", "selu", "relu6", "mish", "hardswish")
PRODUCTS = ("mul", "__mul__", "__rmul__", "multiply")
QUOTIENTS = ("div", "__truediv__", "divide", "true_divide")
POWERS = ("pow", "__pow__")
# There is no rule for products of what depends on the input over several tokens or features (a state space's recurrence).
MIXED = ("matmul", "__matmul__", "bmm", "baddbmm", "einsum", "mul_", "__imul__", "div_", "__itruediv__")


def carried(value: Tensor, linear: Tensor) -> Tensor:
    """The value, with the gradients of what stands for it."""
    return value.detach() + (linear - linear.detach())


class Rules(TorchFunctionMode):
    """Within, every step has the gradient that its rule says.

    "cp" (CP-LRP: Ali et al. 2022, arXiv 2202.07304): scales of norms, weights of attention and gates are constants. "attn"
    (AttnLRP: Achtibat et al. 2024, arXiv 2402.05602): norms alike, but what is multiplied shares its relevance in halves, and
    attention's weights hand theirs on by the gradient of the softmax. In both an activation is x times the constant `f(x) / x`.
    """

    def __init__(self, kind: RuleSet, name: str) -> None:
        super().__init__()
        self.kind, self.name = kind, name
        self.activated = WeakTensorKeyDictionary()  # what activations gave: it gates what it is multiplied by
        self.resting = 0  # within how many parts that have a rule as a whole
        self.rules: dict[str, Step] = {"layer_norm": _layer_norm, "rms_norm": _rms_norm}
        every = ((SHARES, _share), (ACTIVATIONS, self._activation), (PRODUCTS, self._product), (QUOTIENTS, _quotient),
                 (POWERS, _power), (MIXED, self._mixed))  # fmt: skip
        self.rules |= {step: rule for steps, rule in every for step in steps}

    def __torch_function__(
        self, step: Step, _types: object, given: tuple[object, ...] = (), options: Mapping[str, object] | None = None
    ) -> object:
        """What the step gives, by its rule."""
        rule = None if self.resting else self.rules.get(step.__name__)
        return rule(step, *given, **options or {}) if rule else step(*given, **options or {})

    def attend(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **options: Unpack[AttentionOptions],
    ) -> Attended:
        """Attention by its rule: constant weights, or half of the relevance to values, a quarter to queries and keys each."""
        if self.kind == "cp":
            query, key = query.detach(), key.detach()
        else:
            query, key, value = carried(query, query / 4), carried(key, key / 4), carried(value, value / 2)
        with self._rest():
            return own_attention(module, query, key, value, mask, **options)

    @contextmanager
    def _rest(self) -> Iterator[None]:
        self.resting += 1
        try:
            yield
        finally:
            self.resting -= 1

    def _activation(self, step: Step, x: Tensor, *others: object, **options: object) -> Tensor:
        return self.of_activation(x, step(x, *others, **options))

    def of_activation(self, x: Tensor, value: Tensor) -> Tensor:
        """`f(x) = x (f(x) / x)`, the fraction a constant."""
        if not x.requires_grad:
            return value
        value = carried(value, x * torch.where(x == 0, 0, value / x).detach())
        self.activated[value] = True
        return value

    def _product(self, step: Step, one: Number, other: Number, **options: object) -> Tensor:
        if not (_depends(one) and _depends(other)):
            return step(one, other, **options)
        gates = one in self.activated, other in self.activated
        if self.kind == "cp" and gates[0] != gates[1]:
            return step(one.detach(), other) if gates[0] else step(one, other.detach())
        return carried(step(one, other), (one.detach() * other + one * other.detach()) / 2)

    def _mixed(self, step: Step, *given: object, **options: object) -> Tensor:
        if sum(map(_depends, given)) > 1:
            raise LlmattrError(
                f"{self.name} has a step ({step.__name__}) for which there is no conserving rule: use context-cite or another "
                "method that asks for ablations"
            )
        return step(*given, **options)


def _depends(x: object) -> TypeGuard[Tensor]:
    return isinstance(x, Tensor) and x.requires_grad


def _share(step: Step, *given: object, **options: object) -> Tensor:
    return step(*given, **options).detach()


def _power(step: Step, x: Number, exponent: Number) -> Tensor:
    value = step(x, exponent)
    return value.detach() if not isinstance(exponent, Tensor) and exponent < 0 else value


def _quotient(step: Step, x: Number, by: Number, **options: object) -> Tensor:
    return step(x, by.detach() if _depends(by) else by, **options)


def _layer_norm(step: Step, *given: object, **options: object) -> Tensor:
    x, shape, weight, _, eps = _arguments(functional.layer_norm, given, options)
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    linear = centred * (x.var(axes, unbiased=False, keepdim=True) + eps).rsqrt().detach()
    return carried(step(*given, **options), linear if weight is None else linear * weight)


def _rms_norm(step: Step, *given: object, **options: object) -> Tensor:
    x, shape, weight, eps = _arguments(functional.rms_norm, given, options)
    axes, least = tuple(range(-len(shape), 0)), torch.finfo(x.dtype).eps if eps is None else eps
    linear = x * ((x**2).mean(axes, keepdim=True) + least).rsqrt().detach()
    return carried(step(*given, **options), linear if weight is None else linear * weight)


def _arguments(step: Step, given: tuple[object, ...], options: Mapping[str, object]) -> tuple[Any, ...]:
    """What a step was given, in the order of its parameters, with those that were left out."""
    bound = inspect.signature(step).bind(*given, **options)
    bound.apply_defaults()
    return tuple(bound.arguments.values())


@contextmanager
def conserving(lm: Weights, kind: RuleSet) -> Iterator[Rules]:
    """Within, attention and activations have their rules; all other steps within `with rules:`, which a pass is made in.

    The backward pass may run layers again, in threads of its own, which take the rules for themselves. Raises `LlmattrError`
    for a model whose attention cannot be reached.
    """
    rules = Rules(kind, lm.name or type(lm.model).__name__)

    def before(_module: torch.nn.Module, _given: object) -> None:
        rules.resting += 1

    def after(_module: torch.nn.Module, given: tuple[object, ...], output: object) -> Tensor | None:
        rules.resting -= 1
        match given, output:
            case (Tensor() as x,), Tensor() as value if value.shape == x.shape and value is not x:
                return rules.of_activation(x, value)
        return None

    with ExitStack() as stack:
        stack.enter_context(attending(lm, rules.attend))
        for module in lm.model.modules():
            if not any(True for _ in module.parameters()) and not any(True for _ in module.children()):
                stack.callback(module.register_forward_pre_hook(before).remove)
                stack.callback(module.register_forward_hook(after).remove)
        yield rules
