"""Components removed for good: what they give from then on is folded into the matrix that reads or writes them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Bool, Float
from transformers.pytorch_utils import Conv1D

from llmattr.components.fills import Fill
from llmattr.components.sites import Site
from llmattr.errors import LlmattrError
from llmattr.model.forward import evaluating
from llmattr.model.lm import LM

Changes = Mapping[torch.nn.Parameter, torch.Tensor]  # of parameters, what they are after an edit


def check_foldable(lm: LM, sites: Sequence[Site], fill: Fill) -> None:
    """Raise `LlmattrError` where what any of these components gives cannot be folded into an ordinary matrix."""
    if any(type(module).__module__.startswith("peft.") for module in lm.model.modules()):
        raise LlmattrError("an adapter lies on the model, whose weights an edit would change: merge it into them first")
    tied = _shared(lm.model)
    for site, given in zip(sites, fill, strict=True):
        what = f"the {site.part} of layer {site.layer}"
        if site.side == "added":
            raise LlmattrError(f"{what} are read and written by no single matrix: edit attentions+mlps in their place")
        weight, bias = _matrix(site, what)
        if weight in tied:
            raise LlmattrError(f"{what} share their weights with another part of the model: an edit would change that, too")
        if bias is None and bool(given.any()):
            raise LlmattrError(f"{what} have no bias that could hold their mean: remove them by 'zero'")


def _shared(model: torch.nn.Module) -> set[torch.nn.Parameter]:
    """The parameters that have several names."""
    seen, twice = set(), set()
    for _, parameter in model.named_parameters(remove_duplicate=False):
        (twice if parameter in seen else seen).add(parameter)
    return twice


def _matrix(site: Site, what: str) -> tuple[torch.nn.Parameter, torch.nn.Parameter | None]:
    """The weight and the bias of the module at a site, plain numbers in memory."""
    kind = type(site.module).__name__
    if not isinstance(site.module, torch.nn.Linear | Conv1D):
        raise LlmattrError(f"{what} end in no single matrix, but in {kind}: edit other parts, such as heads")
    weight = site.module.weight
    numbers = type(weight.data) is torch.Tensor and weight.is_floating_point() and not weight.is_meta
    if not isinstance(weight, torch.nn.Parameter) or not numbers:
        raise LlmattrError(
            f"the matrix of {what} ({kind}) is quantised or not in memory: load the model in float32 or bfloat16"
        )
    return weight, site.module.bias


@torch.no_grad()
def fold(sites: Sequence[Site], fill: Fill, kept: Bool[np.ndarray, " n"]) -> Changes:
    """What the parameters must be so that components that are not kept always give their fill.

    With W [in, out] and b the matrix that reads a component as its rows R: `W[R] = 0` and `b += fill W[R]`. Of one that is all
    that a matrix writes: `W = 0` and `b = fill`. The model itself is left as it is.
    """
    changes: dict[torch.nn.Parameter, torch.Tensor] = {}
    keeps = np.split(kept, np.cumsum([site.count for site in sites])[:-1])
    for site, given, keep in zip(sites, fill, keeps, strict=True):
        if keep.all():
            continue
        weight, bias = _matrix(site, site.part)
        for parameter in (weight, *([] if bias is None else [bias])):
            changes.setdefault(parameter, parameter.detach().clone())
        rows = changes[weight] if isinstance(site.module, Conv1D) else changes[weight].T
        added = _emptied(rows, site, given.to(weight), torch.tensor(~keep, device=weight.device))
        if bias is not None:
            changes[bias] = added if site.side == "written" else changes[bias] + added
    return changes


def _emptied(
    rows: Float[torch.Tensor, "i o"], site: Site, given: torch.Tensor, gone: Bool[torch.Tensor, " count"]
) -> Float[torch.Tensor, " o"]:
    """What the components that are gone add to the output instead; their rows of the matrix become 0."""
    if site.side == "written":
        rows.zero_()
        return given.expand(1, rows.shape[1])[0]
    pieces = rows.view(site.count, -1, rows.shape[1])
    added = torch.einsum("cw,cwo->o", given.expand(pieces.shape[:2])[gone], pieces[gone])
    pieces[gone] = 0
    return added


@contextmanager
def folded(lm: LM, changes: Changes) -> Iterator[None]:
    """Within, the model has these parameters; afterwards the very tensors that it had, whatever happens."""
    with evaluating(lm.model):
        before = {parameter: parameter.data for parameter in changes}
        try:
            for parameter, changed in changes.items():
                parameter.data = changed
            yield
        finally:
            for parameter, data in before.items():
                parameter.data = data
