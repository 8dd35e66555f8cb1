"""Kronecker factors of a layer's Fisher matrix, and their corrected eigenvalues (EK-FAC, arXiv 1806.03884)."""

from collections.abc import Callable, Collection

import torch
from jaxtyping import Float

from llmattr.core.progress import progress
from llmattr.model.lm import LM
from llmattr.text.rows import Examples, sample
from llmattr.training.gradients.capture import record
from llmattr.training.gradients.flat import Transform
from llmattr.training.gradients.layers import Layers, in_and_out, input_groups, vocabulary_sides
from llmattr.training.gradients.passes import batches
from llmattr.training.gradients.project import Bases
from llmattr.training.gradients.recorders import Recorder, Scaled, Scratch
from llmattr.training.projection import Measure


def fit(
    lm: LM,
    examples: Examples,
    layers: Layers,
    seed: int,
    *,
    fit_rows: int,
    value_rows: int,
    labels: str,
    eigenvalues: str,
    scales: Bases | None = None,
) -> Bases:
    """Eigenvectors ("group/in", "layer/out") and eigenvalues ("layer/values" [i, o]) of every layer.

    With `scales` ("layer/in", "layer/out") of gradients that are multiplied with them; then each layer is a group of its own.
    A side that is the vocabulary has no eigenvectors: tokens are their own.
    """
    part = sample(examples, fit_rows, seed)
    measure: Measure = "sampled" if labels == "sampled" else "loss"
    groups = {name: name for name in layers} if scales else input_groups(lm, layers)
    moments = Moments(groups, diagonal_sides(lm, layers))

    def run(recorder: Recorder, part: Examples, what: str) -> None:
        recorder = Scaled(recorder, scales) if scales else recorder
        record(lm, part, layers, recorder, progress(batches(part, layers), what, "batches"), measure=measure, seed=seed)

    run(moments, part, "covariances")
    recorder = Rotated(moments)
    if eigenvalues == "kronecker":
        return recorder.kronecker(moments, len(part))
    part = sample(part, value_rows, seed)
    run(recorder, part, "eigenvalues")
    return recorder.corrected(len(part))


def function_of(fitted: Bases, groups: dict[str, str], f: Callable[[torch.Tensor], torch.Tensor]) -> Transform:
    """`f(H)` of every layer's `H = (U_A x U_S) diag(L) (U_A x U_S)'`: from g [t, i, o] to `U_A (f(L) * U_A' g U_S) U_S'`.

    `fitted` is what `fit` returned; `f` takes a layer's eigenvalues L [i, o].
    """

    def apply(name: str, gradient: torch.Tensor) -> torch.Tensor:
        ins, outs = (fitted[key].to(gradient.dtype) if key in fitted else None for key in (f"{groups[name]}/in", f"{name}/out"))
        turned = gradient if ins is None else ins.T @ gradient
        turned = f(fitted[f"{name}/values"].to(gradient.dtype)) * (turned if outs is None else turned @ outs)
        turned = turned if ins is None else ins @ turned
        return turned if outs is None else turned @ outs.T

    return apply


DENSE = 4096  # tokens: a head's output gradients have whole second moments up to there


def diagonal_sides(lm: LM, layers: Layers) -> set[str]:
    """Sides whose second moments are diagonal: one-hot tokens', and for their size those of a head's output."""
    sides = vocabulary_sides(lm, layers)
    return {key for key in sides if key.endswith("/in") or in_and_out(layers[key.rpartition("/")[0]])[1] > DENSE}


class Moments:
    """A recorder of the second moments `sum of a a'` of inputs and `sum of g g'` of output gradients, in float32 or better.

    Of `diagonal` sides only their diagonal.

    K-FAC takes every place of a token, and every run of a layer that runs several times, for a case of its own, though an
    example's gradient is their sum ("expand": arXiv 2311.00636). The corrected eigenvalues do without that assumption.
    """

    def __init__(self, groups: dict[str, str], diagonal: Collection[str] = ()) -> None:
        self.groups, self.diagonal = groups, diagonal
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
            self._add(f"{name}/in", kept.flatten(0, 1) if counts.all() else kept[counts])
        self._add(f"{name}/out", outputs.flatten(0, 1))  # rows of zeros add nothing

    def _add(self, key: str, rows: Float[torch.Tensor, "k d"]) -> None:
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        moment = rows.square().sum(0) if key in self.diagonal else rows.T @ rows
        self.sums[key] = self.sums[key] + moment if key in self.sums else moment


class Rotated:
    """A recorder of second moments of gradients in the eigenvectors' coordinates: `sum_b (U_A' g_b U_S)^2` [i, o]."""

    def __init__(self, moments: Moments) -> None:
        self.groups = moments.groups
        spectra = {key: torch.linalg.eigh(moment) for key, moment in moments.sums.items() if moment.dim() == 2}
        self.vectors = {key: spectrum.eigenvectors for key, spectrum in spectra.items()}
        self.values = moments.sums | {key: spectrum.eigenvalues for key, spectrum in spectra.items()}
        self.sums: Bases = {}
        self.scratch = Scratch()
        self.last: tuple[str, torch.Tensor, torch.Tensor] | None = None

    def keep(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs in their eigenvectors' coordinates, turned once for all layers that read them."""
        group = self.groups[name]
        if self.last is None or self.last[0] != group or self.last[1].data_ptr() != inputs.data_ptr():
            self.last = (group, inputs, self._turned(f"{group}/in", inputs))
        return self.last[2]

    def gradient(self, name: str, kept: torch.Tensor, outputs: torch.Tensor) -> None:
        """Add a batch's squares."""
        for _, turned in self.scratch.parts(kept, self._turned(f"{name}/out", outputs)):
            total = self.sums.setdefault(name, torch.zeros_like(turned[0]))
            for gradient in turned:
                total.addcmul_(gradient, gradient)

    def _turned(self, key: str, rows: Float[torch.Tensor, "b s d"]) -> Float[torch.Tensor, "b s d"]:
        """In the side's eigenvectors' coordinates, in the type of its moments."""
        rows = rows.to(self.values[key].dtype)
        return rows @ self.vectors[key] if key in self.vectors else rows

    def corrected(self, rows: int) -> Bases:
        """Eigenvectors, and these squares' mean over the rows as eigenvalues."""
        return self._named({name: squares / rows for name, squares in self.sums.items()})

    def kronecker(self, moments: Moments, rows: int) -> Bases:
        """Eigenvectors, and `l_A l_S' / (places rows)` as eigenvalues, for sums over all places of a layer."""
        values = {}
        for name, group in self.groups.items():
            ins, outs = self.values[f"{group}/in"], self.values[f"{name}/out"]
            values[name] = torch.outer(ins.clamp(min=0), outs.clamp(min=0)) / (moments.places[name] * rows)
        return self._named(values)

    def _named(self, values: Bases) -> Bases:
        return self.vectors | {f"{name}/values": value for name, value in values.items()}
