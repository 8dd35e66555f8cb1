"""Projections of per-example gradients: from A [b, s, i] and G [b, s, o] to D numbers, without forming [b, i, o].

Two-sided (LoGra, arXiv 2405.13954): a layer's gradient A.T @ G is taken as (A P).T @ (G Q) with P [i, w] and Q [o, w]. One
sparse sketch (SJLT: every entry goes to one of D places with a random sign) then adds up all layers: a row has D numbers,
however deep the model is. Random numbers come from a counter-based generator (Philox) keyed by seed and layer name, on the CPU:
shards, queries and devices agree.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from llmattr.lm import LM
from llmattr.training.capture import ExactGradients, hooks, probe, run_backward, weight
from llmattr.training.data import Examples
from llmattr.training.index import Projection
from llmattr.training.seeded import gaussian, generator

Bases = dict[str, torch.Tensor]


def input_groups(lm: LM, layers: dict[str, torch.nn.Module]) -> dict[str, str]:
    """For each layer the first layer that reads the same tensor: q, k, v and gate, up share one basis of their input."""
    read: list[tuple[torch.Tensor, str]] = []
    groups: dict[str, str] = {}

    def watch(name: str) -> Any:
        def hook(_module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            same = next((first for tensor, first in read if tensor is inputs[0]), name)
            read.append((inputs[0], same))
            groups[name] = same

        return hook

    handles = [module.register_forward_pre_hook(watch(name)) for name, module in layers.items()]
    with torch.no_grad():
        lm.model(**probe(lm))
    for handle in handles:
        handle.remove()
    return groups


class Sketch:
    """A recorder of two-sided projections: `rows()` is the batch's rows [b, D].

    `bases` has "group/in" and "layer/out", as `fit_bases` makes them and an index keeps them.
    """

    def __init__(self, projection: Projection, groups: dict[str, str], bases: Bases) -> None:
        self.groups, self.bases = groups, bases
        self.parts: dict[str, torch.Tensor] = {}
        self.last: tuple[str, torch.Tensor, torch.Tensor] | None = None
        sizes = {name: bases[f"{group}/in"].shape[1] * bases[f"{name}/out"].shape[1] for name, group in groups.items()}
        self.sketched = sum(sizes.values()) > projection.dim
        self.dim = min(sum(sizes.values()), projection.dim)
        draws = {name: generator(projection.seed, name, "sketch") for name in groups}
        places = [draws[name].integers(self.dim, size=size) for name, size in sizes.items()]
        signs = [draws[name].integers(2, size=size) * 2.0 - 1.0 for name, size in sizes.items()]
        device = next(iter(bases.values())).device
        self.places = torch.from_numpy(np.concatenate(places)).to(device)
        self.signs = torch.from_numpy(np.concatenate(signs).astype(np.float32)).to(device)

    def keep(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs projected at once: what waits for the backward pass is [b, s, w], not [b, s, i]."""
        group = self.groups[name]
        if self.last is None or self.last[0] != group or self.last[1].data_ptr() != inputs.data_ptr():
            basis = self.bases[f"{group}/in"]
            self.last = (group, inputs, inputs.to(basis.dtype) @ basis)
        return self.last[2]

    def gradient(self, name: str, kept: torch.Tensor, outputs: torch.Tensor) -> None:
        """Project the output gradient and form the layer's part of the rows."""
        basis = self.bases[f"{name}/out"]
        part = (kept.mT @ (outputs.to(basis.dtype) @ basis)).flatten(1)
        self.parts[name] = self.parts[name] + part if name in self.parts else part

    def rows(self) -> Float[torch.Tensor, "b d"]:
        """The batch's rows; start anew."""
        wide = torch.cat([self.parts[name] for name in self.groups], dim=1)
        self.parts, self.last = {}, None
        if not self.sketched:
            return wide
        rows = torch.zeros((len(wide), self.dim), dtype=wide.dtype, device=wide.device)
        return rows.index_add_(1, self.places, wide * self.signs)


class Dense(ExactGradients):
    """A recorder of whole gradients, times a dense matrix of signs [d, D] / sqrt(D) made block by block, or as they are.

    `scales` multiply the gradients before that, as they are folded into the bases of a two-sided projection.
    """

    BLOCK = 4096

    def __init__(self, projection: Projection, layers: dict[str, torch.nn.Module], scales: Bases) -> None:
        super().__init__()
        self.projection, self.names = projection, list(layers)
        self.dim = projection.dim if projection.kind == "rademacher" else sum(weight(m).numel() for m in layers.values())
        outer = [torch.outer(scales[f"{name}/in"], scales[f"{name}/out"]).flatten() for name in layers if scales]
        self.scale = torch.cat(outer) if outer else None

    def rows(self) -> Float[torch.Tensor, "b d"]:
        """The batch's rows; start anew."""
        whole = self.take(self.names) if self.scale is None else self.take(self.names) * self.scale
        if self.projection.kind == "identity":
            return whole
        rows = torch.zeros((len(whole), self.dim), dtype=whole.dtype, device=whole.device)
        for number, block in enumerate(whole.split(self.BLOCK, dim=1)):
            bits = generator(self.projection.seed, "dense", str(number)).integers(2, size=(block.shape[1], self.dim))
            rows += block @ torch.from_numpy(bits * 2.0 - 1.0).to(block)
        return rows / self.dim**0.5


def fit_bases(
    lm: LM,
    examples: Examples,
    layers: dict[str, torch.nn.Module],
    projection: Projection,
    batches: Sequence[Sequence[int]],
    scales: Bases | None = None,
) -> tuple[dict[str, str], Bases]:
    """Input groups and bases of a two-sided projection; `principal` ones come from the second moments of A and G.

    `scales` ("layer/in", "layer/out") multiply A and G first; they are folded into the bases and cost nothing later.
    """
    scales = scales or {}
    groups = {name: name for name in layers} if scales else input_groups(lm, layers)
    moments = _second_moments(lm, examples, layers, groups, batches) if projection.kind == "principal" else {}
    bases = {}
    for name, module in layers.items():
        for key, size in zip((f"{groups[name]}/in", f"{name}/out"), in_and_out(module), strict=True):
            if key not in bases:
                scale = scales.get(key, torch.ones(size, device=lm.device))
                moment = moments[key] * torch.outer(scale, scale) if key in moments else None
                bases[key] = scale[:, None] * _basis(size, projection, key, moment).to(lm.device)
    return groups, bases


def in_and_out(module: torch.nn.Module) -> tuple[int, int]:
    """A linear layer's input and output width; Conv1D keeps its weight the other way round."""
    one, two = weight(module).shape
    return (two, one) if isinstance(module, torch.nn.Linear) else (one, two)


def _basis(size: int, projection: Projection, key: str, moment: torch.Tensor | None) -> Float[torch.Tensor, "size w"]:
    width, seed = min(projection.width, size), projection.seed
    if width == size:
        return torch.eye(size)
    if moment is None:
        return gaussian(size, width, seed, key) / width**0.5
    spare = round(width * projection.complement)
    lead = leading_directions(moment, width - spare, seed, key)
    if not spare:
        return lead
    rest = gaussian(size, spare, seed, key, "complement").to(lead)
    rest = torch.linalg.qr(rest - lead @ (lead.T @ rest))[0]
    return torch.cat([lead, rest], dim=1)


def leading_directions(
    moment: Float[torch.Tensor, "d d"], k: int, seed: int, *names: str, steps: int = 8
) -> Float[torch.Tensor, "d k"]:
    """The k leading eigenvectors of a second moment, by subspace iteration from seeded random directions."""
    found = gaussian(len(moment), min(2 * k, len(moment)), seed, *names, "start").to(moment)
    for _ in range(steps):
        found = torch.linalg.qr(moment @ found)[0]
    _, inner = torch.linalg.eigh(found.T @ moment @ found)
    return (found @ inner.flip(1))[:, :k]


def _second_moments(
    lm: LM, examples: Examples, layers: dict[str, torch.nn.Module], groups: dict[str, str], batches: Sequence[Sequence[int]]
) -> Bases:
    recorder = Moments(groups)
    with hooks(lm.model, layers, recorder):
        for batch in batches:
            run_backward(lm, examples, batch)
    return recorder.sums


class Moments:
    """A recorder of the second moments `sum of a a'` of inputs and `sum of g g'` of output gradients, in float32 or better."""

    def __init__(self, groups: dict[str, str]) -> None:
        self.groups = groups
        self.sums: Bases = {}
        self.places: dict[str, int] = {}  # positions that have an output gradient

    def keep(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs: only the positions that have an output gradient will count."""
        return inputs

    def gradient(self, name: str, kept: torch.Tensor, outputs: torch.Tensor) -> None:
        """Add the batch's moments; the inputs' once for a group."""
        counts = outputs.abs().sum(-1) > 0
        self.places[name] = self.places.get(name, 0) + int(counts.sum())
        if self.groups[name] == name:
            self._add(f"{name}/in", kept[counts])
        self._add(f"{name}/out", outputs[counts])

    def _add(self, key: str, rows: Float[torch.Tensor, "k d"]) -> None:
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        moment = rows.T @ rows
        self.sums[key] = self.sums[key] + moment if key in self.sums else moment
