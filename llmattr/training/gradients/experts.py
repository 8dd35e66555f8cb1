"""Fused experts as linear layers, one for each expert and matrix, in the place of the module that has them all in one.

transformers (Mixtral, Qwen-MoE, gpt-oss and others) keeps the matrices of a layer's experts in two parameters, `gate_up_proj`
and `down_proj` [experts, o, i] or [experts, i, o], and multiplies what goes to an expert at once, whatever example it is of.
Within `unfused` each matrix is a `torch.nn.Linear`, named `...experts.gate_up_proj.3`, with its memory in the fused parameter,
and reads [batch, tokens, width] as other layers do: of each example the tokens that go to the expert, padded with zeros.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int

from llmattr.model.forward import alike, attempt, evaluating, remembered
from llmattr.training.gradients.probing import Run, runs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GATED, PLAIN, DOWN = "gate_up_proj", "up_proj", "down_proj"  # an expert has one of the first two, and the last


@runtime_checkable
class Fused(Protocol):
    """What transformers says of experts that it can run in several ways (its `use_experts_implementation`)."""

    is_transposed: bool
    has_bias: bool

    def _apply_gate(self, gate_up_out: torch.Tensor, /) -> torch.Tensor: ...


class Expert(torch.nn.Linear):
    """One expert's matrix; `turned` where the fused parameter has it as [i, o]."""

    def __init__(self, matrix: torch.Tensor, turned: bool) -> None:
        out, width = matrix.T.shape if turned else matrix.shape
        super().__init__(width, out, bias=False, device="meta")
        self.turned = turned

    def part(self, matrix: torch.Tensor) -> Float[torch.Tensor, "o i"]:
        """The matrix as this layer has it, from where it lies in the fused parameter, or in what is kept of that."""
        return matrix.T if self.turned else matrix


class Unfused(torch.nn.Module):
    """A layer's experts one by one, on their tokens example by example."""

    def __init__(self, fused: torch.nn.Module) -> None:
        super().__init__()
        assert isinstance(fused, Fused)
        self.examples = 1  # in the pass
        self.has_bias, self.whole = fused.has_bias, (fused,)  # in a tuple: no module of this one's
        given = dict(fused.named_parameters(recurse=False))
        self.between = fused._apply_gate if GATED in given else fused.get_submodule("act_fn")
        self.names = (GATED if GATED in given else PLAIN, DOWN)
        for name in self.names:
            self.add_module(name, torch.nn.ModuleList(Expert(matrix, fused.is_transposed) for matrix in given[name]))

    def renew(self) -> None:
        """Take the fused parameters as they are now: a model may have got another type, or gone to another device."""
        (fused,) = self.whole
        for place, one in self.named_modules():
            if isinstance(one, Expert):
                name, expert = place.split(".")
                one.weight = _frozen(one.part(fused.get_parameter(name)[int(expert)]))
                if self.has_bias:
                    one.bias = _frozen(fused.get_parameter(f"{name}_bias")[int(expert)])

    def forward(
        self, hidden: Float[torch.Tensor, "n d"], index: Int[torch.Tensor, "n k"], weights: Float[torch.Tensor, "n k"]
    ) -> Float[torch.Tensor, "n d"]:
        """The sum of what each token's k experts say of it, with these weights."""
        first, last = (self.get_submodule(name).children() for name in self.names)
        total = torch.zeros_like(hidden)
        for expert, (up, down) in enumerate(zip(first, last, strict=True)):
            tokens, choice = torch.where(index == expert)
            counts, places = _places(tokens // (len(hidden) // self.examples), self.examples)
            given = hidden.new_zeros(self.examples, int(counts.max()), hidden.shape[1]).index_put(places, hidden[tokens])
            said = down(self.between(up(given)))[places] * weights[tokens, choice, None]
            total = total.index_add(0, tokens, said.to(total.dtype))
        return total


def _frozen(part: torch.Tensor) -> torch.nn.Parameter:
    """A parameter with this memory, which autograd does not follow."""
    return torch.nn.Parameter(part.detach(), requires_grad=False)


def _places(
    example: Int[torch.Tensor, " n"], examples: int
) -> tuple[Int[torch.Tensor, " b"], tuple[Int[torch.Tensor, " n"], Int[torch.Tensor, " n"]]]:
    """How many tokens each example has, and for each token its example and its number there; examples lie in order."""
    counts = torch.bincount(example, minlength=examples)
    return counts, (example, torch.arange(len(example), device=example.device) - (counts.cumsum(0) - counts)[example])


@contextmanager
def unfused(model: "PreTrainedModel", layers: Mapping[str, torch.nn.Module] | None = None) -> Iterator[None]:
    """Within, the model's fused experts are linear layers; those that would say something else so stay as they are.

    With `layers` only if there are experts among these.
    """
    wanted = layers is None or any(isinstance(layer, Expert) for layer in layers.values())
    with evaluating(model):
        every = _unfused(model) if wanted else {}
        places = {place: one for place, one in every.items() if model.get_submodule(place) is not one}
        if not places:
            yield
            return
        embedding = model.get_input_embeddings()

        def count(_module: torch.nn.Module, given: tuple[Any, ...]) -> None:
            for one in places.values():
                one.examples = len(given[0])

        handle = embedding.register_forward_pre_hook(count)
        try:
            for place, one in places.items():
                one.renew()
                model.set_submodule(place, one)
            yield
        finally:
            handle.remove()
            for place, one in places.items():
                model.set_submodule(place, *one.whole)


@remembered
def _unfused(model: "PreTrainedModel") -> dict[str, Unfused]:
    """What can take the place of fused experts, found by trying it: it must say the same of a few tokens."""
    fused = {place: one for place, one in model.named_modules() if _is_known(one)}
    return {run.name: one for run in runs(model, fused) if _says(one := Unfused(fused[run.name]), run)}


def _is_known(module: torch.nn.Module) -> bool:
    """Whether a module is experts that have their matrices where others have them."""
    shapes = {name: parameter.dim() for name, parameter in module.named_parameters(recurse=False)}
    return isinstance(module, Fused) and shapes.get(DOWN) == 3 and 3 in (shapes.get(GATED), shapes.get(PLAIN))


def _says(one: Unfused, run: Run) -> bool:
    """Whether it says the same, but for rounding."""
    one.renew()
    said, size = attempt(lambda: one(*run.given)), run.said.abs().max()
    dtype = torch.float32 if run.said.dtype == torch.float64 else run.said.dtype  # some add up in float32 whatever their type
    return said is not None and bool(size) and alike(said / size, run.said / size, dtype)
