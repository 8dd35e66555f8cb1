"""Norms and biases: parameters by which, or to which, a module's output is multiplied or added number by number.

An example's gradient of such a parameter is `sum over places of G * k`, G the output gradient and k the output's derivative by
it: the normalised input of a norm's weight, 1 of a bias (LayerNorm: arXiv 1607.06450; RMSNorm: arXiv 1910.07467).
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch.func import functional_call

from llmattr.model.lm import LM
from llmattr.training.gradients.probing import Run, always, runs

ROUNDING = 2**6  # steps of the type between two ways to compute the same


class Vector(torch.nn.Module):
    """A norm's weight, or a bias, as a layer [1, d] whose input is a 1 for each example, and its output gradient its gradient.

    `norm` is the module whose parameter it is: a norm, or a linear layer.
    """

    def __init__(self, norm: torch.nn.Module, parameter: str) -> None:
        super().__init__()
        self.norm, self.parameter = norm, parameter

    @property
    def whole(self) -> torch.nn.Parameter:
        """The parameter."""
        return self.norm.get_parameter(self.parameter)

    @property
    def weight(self) -> torch.nn.Parameter:
        """The same as a matrix, with its memory."""
        return torch.nn.Parameter(self.whole.detach().view(1, -1), requires_grad=False)

    def derivative(self, given: tuple[Any, ...], named: Mapping[str, Any]) -> torch.Tensor:
        """What the module says of this input where the parameter is 1, less what it says where it is 0; its others are 0."""
        if any(one.dim() > 1 for one in self.norm.parameters()):  # a linear layer, to which its bias is added
            return given[0].new_ones(*given[0].shape[:-1], self.whole.numel())
        others = {name: torch.zeros_like(one) for name, one in self.norm.named_parameters()}
        one = others | {self.parameter: torch.ones_like(self.whole)}
        with torch.no_grad():
            return functional_call(self.norm, one, given, dict(named)) - functional_call(self.norm, others, given, dict(named))

    def gradient(self, products: torch.Tensor, examples: int) -> Float[torch.Tensor, "b 1 d"]:
        """The sum of `G * k` over each example's places: whatever stands between the batch and the width."""
        return products.reshape(examples, -1, self.weight.numel()).sum(1, keepdim=True)


def norm_layers(lm: LM) -> dict[str, torch.nn.Module]:
    """The parameters of norms by name, found by trying what each does, and that examples stay apart there."""
    norms = {name: module for name, module in lm.model.named_modules() if _may_be(module)}
    found = always((run.name, _is_apart(run) and _is_elementwise(norms[run.name], run)) for run in runs(lm.model, norms))
    return {
        f"{name}.{parameter}": Vector(norm, parameter)
        for name, norm in norms.items()
        if name in found
        for parameter, _ in norm.named_parameters()
    }


def _may_be(module: torch.nn.Module) -> bool:
    """Whether a module has vectors alone, and no modules."""
    given = list(module.parameters())
    return bool(given) and not list(module.children()) and all(one.dim() == 1 for one in given)


def _is_apart(run: Run) -> bool:
    """Whether the gradient of the first of the two examples lies in the first half of the numbers."""
    if run.gradient.numel() % 2:
        return False
    first, second = run.gradient.reshape(2, -1)
    return bool(first.any()) and not second.any()


def _is_elementwise(norm: torch.nn.Module, run: Run) -> bool:
    """Whether what it says is `said with zeros + sum of parameter * derivative`, whatever the parameters are."""
    vectors = [Vector(norm, name) for name, _ in norm.named_parameters()]
    if any(vector.weight.numel() != run.said.shape[-1] for vector in vectors):
        return False
    zeros = {vector.parameter: torch.zeros_like(vector.whole) for vector in vectors}
    others = {name: torch.linspace(1, 3, len(zero)).to(zero) for name, zero in zeros.items()}  # no two numbers are the same
    with torch.no_grad():
        found, expected = (functional_call(norm, given, run.given, run.named) for given in (others, zeros))
        expected = expected + sum(others[v.parameter] * v.derivative(run.given, run.named) for v in vectors)
    step = max(torch.finfo(found.dtype).eps, torch.finfo(torch.float32).eps)
    return torch.allclose(found, expected, rtol=0, atol=ROUNDING * step * float(found.abs().max()))
