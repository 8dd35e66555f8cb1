"""Projections of per-example gradients: from A [b, s, i] and G [b, s, o] to D numbers, without forming [b, i, o].

Two-sided (LoGra, arXiv 2405.13954): a layer's gradient A.T @ G is taken as (A P).T @ (G Q) with P [i, w] and Q [o, w]. Of
these coordinates of all layers a row has D numbers, however deep the model is: those with the most energy, where P and Q are
principal directions, and one sparse sketch of the others (SJLT: every coordinate goes to one of the places with a random sign).
A side that is the vocabulary (a head's output, an embedding's input) has no principal directions worth the name: what tells
rows apart are rare tokens. Every token goes to one of its directions with a random sign, which keeps products unbiased. Random
numbers come from a counter-based generator keyed by seed and layer name (seeded.py).
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.seeded import gaussian, generator
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.capture import capturing, record
from llmattr.training.gradients.experts import Expert
from llmattr.training.gradients.layers import Layers, in_and_out, input_groups, vocabulary_sides, weight
from llmattr.training.gradients.recorders import ExactGradients
from llmattr.training.projection import Projection

Bases = dict[str, torch.Tensor]
ROUNDING = 1e-6  # of the largest eigenvalue: what float32 sums leave of those that are zero
CHOSEN = "chosen"  # among the bases: the coordinates that have a place of their own
SIGNS = 4  # of each token, at as many places
TOKENS, HIDDEN = 16, 2  # times the width: directions of the vocabulary's side of a head or an embedding, and of the other side


class Sketch:
    """A recorder of two-sided projections: `rows()` is the batch's rows [b, D].

    Of the coordinates `(A P)' (G Q)` of all layers side by side, those that are `chosen` have a place of their own; the others
    are added up in the sketch's places, of which there are `sketched`. `bases` has "group/in" and "layer/out".
    """

    def __init__(self, projection: Projection, groups: dict[str, str], bases: Bases) -> None:
        self.groups, self.bases = groups, bases
        self.parts: dict[str, torch.Tensor] = {}
        self.last: tuple[str, torch.Tensor, torch.Tensor] | None = None
        sizes = {name: bases[f"{group}/in"].shape[1] * bases[f"{name}/out"].shape[1] for name, group in groups.items()}
        wide, device = sum(sizes.values()), next(iter(bases.values())).device
        self.chosen = bases.get(CHOSEN, torch.arange(wide if wide <= projection.dim else 0, device=device))
        self.sketched = 0 if len(self.chosen) == wide else min(projection.dim, wide) - len(self.chosen)
        self.dim = len(self.chosen) + self.sketched
        if self.sketched:
            draws = [
                generator(projection.seed, name, "sketch").integers([[self.sketched], [2]], size=(2, n))
                for name, n in sizes.items()
            ]
            places, signs = np.concatenate(draws, axis=1)
            self.places = torch.from_numpy(places).to(device)
            self.signs = torch.from_numpy((2.0 * signs - 1.0).astype(np.float32)).to(device)
            self.signs[self.chosen] = 0

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
        self.parts[name] = (kept.mT @ (outputs.to(basis.dtype) @ basis)).flatten(1)

    def wide(self) -> Float[torch.Tensor, "b k"]:
        """The batch's coordinates, layer after layer; start anew."""
        wide = torch.cat([self.parts[name] for name in self.groups], dim=1)
        self.parts, self.last = {}, None
        return wide

    def rows(self) -> Float[torch.Tensor, "b d"]:
        """The batch's rows; start anew."""
        wide = self.wide()
        own = wide[:, self.chosen]
        if not self.sketched:
            return own
        rest = torch.zeros((len(wide), self.sketched), dtype=wide.dtype, device=wide.device)
        return torch.cat([own, rest.index_add_(1, self.places, wide * self.signs)], dim=1)


class Dense(ExactGradients):
    """A recorder of whole gradients, times a dense matrix of signs [d, D] / sqrt(D) made block by block, or as they are.

    `scales` multiply the gradients before that, as they are folded into the bases of a two-sided projection.
    """

    BLOCK = 4096

    def __init__(self, projection: Projection, layers: Layers, scales: Bases) -> None:
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
    layers: Layers,
    projection: Projection,
    batches: Sequence[Sequence[int]],
    *,
    scales: Bases | None = None,
) -> tuple[dict[str, str], Bases]:
    """Input groups and bases of a two-sided projection; `principal` ones come from the second moments of A and G.

    `scales` ("layer/in", "layer/out") multiply A and G first; they are folded into the bases and cost nothing later.
    """
    scales = scales or {}
    groups = {name: name for name in layers} if scales else input_groups(lm, layers)
    tokens, bases = vocabulary_sides(lm, layers), Bases()
    ranges = Ranges(groups, projection.width * (HIDDEN if tokens else 1), projection.seed, without=tokens)
    if projection.kind == "principal":
        record(lm, examples, layers, ranges, batches)
        ranges.forget_unreached(name for name, module in layers.items() if isinstance(module, Expert))
    for name, module in layers.items():
        keys = f"{groups[name]}/in", f"{name}/out"
        width = projection.width * (HIDDEN if tokens & {*keys} else 1)
        for key, size in zip(keys, in_and_out(module), strict=True):
            if key not in bases:
                scale = scales.get(key, torch.ones(size, device=lm.device))
                if key in tokens:
                    basis = sparse_signs(size, TOKENS * projection.width, projection.seed, key)
                else:
                    basis = _basis(width, projection.seed, key, ranges, scale)
                bases[key] = scale[:, None] * basis.to(lm.device)
    return groups, bases


def choose(
    lm: LM,
    examples: Examples,
    layers: Layers,
    projection: Projection,
    batches: Sequence[Sequence[int]],
    *,
    fitted: tuple[dict[str, str], Bases],
) -> tuple[dict[str, str], Bases]:
    """Of all layers' principal coordinates, those with the most energy in the examples: each will have a place of its own.

    Directions that none of them needs are dropped, and layers without any, unless a sketch still takes the others.
    """
    groups, bases = fitted
    recorder, energy = Sketch(projection, groups, bases), torch.zeros(0)
    with capturing(lm, layers, recorder) as run:
        for batch in batches:
            run(examples, batch)
            squares = recorder.wide().square().sum(0)
            energy = squares if not len(energy) else energy + squares
    own = projection.dim - round(projection.dim * projection.complement)
    if len(energy) <= projection.dim:
        return groups, bases
    chosen = energy.topk(own).indices.sort().values
    if projection.complement:
        return groups, bases | {CHOSEN: chosen}
    return _trim(groups, bases, chosen)


def _trim(groups: dict[str, str], bases: Bases, chosen: torch.Tensor) -> tuple[dict[str, str], Bases]:
    """The same coordinates out of narrower bases."""
    wanted: dict[str, torch.Tensor] = {}  # for each layer which of its [in, out] coordinates
    start = 0
    for name, group in groups.items():
        shape = bases[f"{group}/in"].shape[1], bases[f"{name}/out"].shape[1]
        size = shape[0] * shape[1]
        mask = torch.zeros(size, dtype=torch.bool, device=chosen.device)
        mask[chosen[(chosen >= start) & (chosen < start + size)] - start] = True
        if mask.any():
            wanted[name] = mask.view(shape)
        start += size
    kept = {name: group for name, group in groups.items() if name in wanted}
    ins = {g: torch.stack([wanted[name].any(1) for name in kept if kept[name] == g]).any(0) for g in set(kept.values())}
    trimmed = {f"{group}/in": bases[f"{group}/in"][:, used] for group, used in sorted(ins.items())}
    trimmed |= {f"{name}/out": bases[f"{name}/out"][:, mask.any(0)] for name, mask in wanted.items()}
    places = torch.cat([mask[ins[kept[name]]][:, mask.any(0)].flatten() for name, mask in wanted.items()])
    return kept, trimmed | {CHOSEN: places.nonzero()[:, 0]}


def _basis(
    width: int, seed: int, key: str, ranges: "Ranges", scale: Float[torch.Tensor, " size"]
) -> Float[torch.Tensor, "size w"]:
    size = len(scale)
    if width >= size:
        return torch.eye(size)
    if key in ranges.sums:
        return ranges.directions(key, width, scale)
    return gaussian(size, width, seed, key) / width**0.5


def sparse_signs(size: int, width: int, seed: int, key: str) -> Float[torch.Tensor, "size w"]:
    """`SIGNS` random signs in each row at random places, over the root of their number; I where there is room for it.

    `E[Q Q'] = I` (sparse Johnson-Lindenstrauss: Kane and Nelson, arXiv 1012.1577): two tokens that share a place share few of
    theirs, so that none is taken for another.
    """
    if width >= size:
        return torch.eye(size)
    blocks = width // SIGNS  # each sign has a part of the places to itself
    draws = generator(seed, key, "tokens").integers([[[blocks]], [[2]]], size=(2, SIGNS, size))
    places, signs = torch.from_numpy(draws[0] + blocks * np.arange(SIGNS)[:, None]), torch.from_numpy(2.0 * draws[1] - 1.0)
    sketch = torch.zeros(size, width)
    return sketch.scatter_(1, places.T, signs.T.float() / SIGNS**0.5)


class Ranges:
    """A recorder of `M W` [d, k] for the second moments M of inputs and output gradients and random W [d, k].

    One pass over the tokens gives M's leading directions (Nystroem: Tropp et al., arXiv 1706.05736), for `2 d k` operations a
    token instead of the `2 d^2` of M itself. Sides that are in `without` get none.
    """

    def __init__(self, groups: dict[str, str], width: int, seed: int, without: Collection[str] = ()) -> None:
        self.groups, self.width, self.seed, self.without = groups, 4 * width, seed, without
        self.tests: Bases = {}
        self.sums: Bases = {}

    def keep(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs: only the positions that have an output gradient will count."""
        return inputs

    def gradient(self, name: str, kept: torch.Tensor, outputs: torch.Tensor) -> None:
        """Add the batch's part; the inputs' once for a group."""
        if self.groups[name] == name:
            counts = outputs.abs().sum(-1) > 0
            self._add(f"{name}/in", kept[counts])
        self._add(f"{name}/out", outputs.flatten(0, 1))

    def _add(self, key: str, rows: Float[torch.Tensor, "k d"]) -> None:
        if key in self.without:
            return
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        size = rows.shape[1]
        if key not in self.sums:
            self.tests[key] = gaussian(size, min(self.width, size), self.seed, key, "test").to(rows)
            self.sums[key] = torch.zeros_like(self.tests[key])
        self.sums[key] += rows.T @ (rows @ self.tests[key])

    def forget_unreached(self, names: Iterable[str]) -> None:
        """Know nothing of these layers where no gradient has come: it may in other rows, and have any direction."""
        for key in [f"{name}/{side}" for name in names for side in ("in", "out")]:
            if not self.sums[key].any():
                del self.sums[key]

    def directions(self, key: str, k: int, scale: Float[torch.Tensor, " d"]) -> Float[torch.Tensor, "d k"]:
        """The k leading eigenvectors of `S M S`, S = diag(scale); fewer where M has fewer."""
        test, seen = self.tests[key].double(), self.sums[key].double()
        values, vectors = torch.linalg.eigh((test.T @ seen + seen.T @ test) / 2)
        sure = values > ROUNDING * values[-1].clamp(min=torch.finfo(torch.float32).tiny)
        if not sure.any():  # a layer that no gradient reaches
            return torch.eye(len(scale), 1, device=scale.device)
        root = seen @ (vectors[:, sure] / values[sure].sqrt())  # root root' is M, nearly
        return torch.linalg.svd(scale.double()[:, None] * root, full_matrices=False).U[:, :k].float()
