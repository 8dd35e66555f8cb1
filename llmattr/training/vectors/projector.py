"""Rows of an index as projected gradients."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.files import whole
from llmattr.model.lm import LM
from llmattr.text.rows import Examples, sample
from llmattr.training.gradients.capture import capturing
from llmattr.training.gradients.layers import Layers
from llmattr.training.gradients.moments import SCALES, momentum, scales, scales_in
from llmattr.training.gradients.passes import batches
from llmattr.training.gradients.project import Bases, Dense, Sketch, choose, fit_bases
from llmattr.training.gradients.untracked import left_out, track
from llmattr.training.index.store import FITTED
from llmattr.training.projection import Measure, Normalize, Parameters, Projection
from llmattr.training.vectors.contract import Rows

FIT_ROWS = 128  # rows whose second moments give the principal directions
OFFSET = "offset"  # among what is fitted: what Adam's momentum adds to every row
SPARSE, SPARE = "sparse/", 16  # begins the names of what is kept without its zeros, where these are 15 of 16 numbers


TWO_SIDED = ("principal", "random")


@dataclasses.dataclass(frozen=True, eq=False)
class Projector:
    """Projected gradients: a model, its tracked layers, a projection, and the bases (or scales) that were fitted for it."""

    lm: LM
    projection: Projection
    layers: Layers
    groups: dict[str, str]
    fitted: Bases

    @staticmethod
    def fit(
        lm: LM,
        projection: Projection,
        pattern: str,
        examples: Examples,
        *,
        parameters: Parameters = "blocks",
        normalize: Normalize = "none",
        steps: bool = False,
    ) -> "Projector":
        """Choose the layers and, for a two-sided projection, make its bases from a sample of the examples.

        `steps`: a row is Adam's step on it, its momentum with it, and not its gradient alone.
        """
        made = Projector._of_gradients(lm, projection, pattern, examples, parameters=parameters, normalize=normalize)
        return made.with_momentum() if steps else made

    @staticmethod
    def _of_gradients(
        lm: LM, projection: Projection, pattern: str, examples: Examples, *, parameters: Parameters, normalize: Normalize
    ) -> "Projector":
        layers, part = track(lm, parameters, pattern), sample(examples, FIT_ROWS, projection.seed)
        scaled = scales(normalize, lm, part, layers)
        kept = {f"{SCALES}{key}": value for key, value in scaled.items()}
        if projection.kind not in TWO_SIDED:
            return Projector(lm, projection, layers, {}, kept)
        groups, bases = fit_bases(lm, part, layers, projection, batches(part, layers), scales=scaled)
        if projection.kind == "principal":
            part = sample(part, FIT_ROWS // 2, projection.seed)
            groups, bases = choose(lm, part, layers, projection, batches(part, layers), fitted=(groups, bases))
        kept = {key: value for key, value in kept.items() if key.removeprefix(SCALES).rpartition("/")[0] in groups}
        return Projector(lm, projection, {name: layers[name] for name in groups}, groups, bases | kept)

    def with_momentum(self) -> "Projector":
        """The same with what Adam's momentum adds to every row; its matrices M are taken for `A' G`, A or G the identity."""
        recorder = self.recorder()
        for name, mean in momentum(self.lm, self.layers).items():
            i, o = mean.shape
            sides = (torch.eye(i).to(mean), mean) if i <= o else (mean.T, torch.eye(o).to(mean))
            recorder.gradient(name, recorder.keep(name, sides[0][None]), sides[1][None])
        return dataclasses.replace(self, fitted={**self.fitted, OFFSET: recorder.rows()[0].float()})

    def plain(self) -> "Projector":
        """The same of gradients as they are: what rows that are steps are asked with."""
        scaled = scales_in(self.fitted)
        kept = {key: value for key, value in self.fitted.items() if key != OFFSET and not key.startswith(SCALES)}
        return dataclasses.replace(
            self, fitted={key: value / scaled[key][:, None] if key in scaled else value for key, value in kept.items()}
        )

    @property
    def dim(self) -> int:
        """The length of a row."""
        return self.recorder().dim

    @property
    def settings(self) -> dict[str, Any]:
        """The projection, the tracked layers, which of them read the same, and what is not tracked."""
        return {
            "projection": dataclasses.asdict(self.projection),
            "layers": list(self.layers),
            "groups": self.groups,
            "left_out": left_out(self.lm, self.layers),
        }

    def recorder(self) -> Sketch | Dense:
        """A fresh recorder for the hooks; its `dim` is the length of a row."""
        if self.projection.kind in TWO_SIDED:
            return Sketch(self.projection, self.groups, self.fitted)
        return Dense(self.projection, self.layers, scales_in(self.fitted))

    def rows(self, examples: Examples, planned: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """For each batch, or part of one, its row numbers, projected gradients, and the rows' means of 1 - p."""
        recorder = self.recorder()
        with capturing(self.lm, self.layers, recorder) as run:
            for batch in batches(examples, self.layers, planned):
                values = run(examples, batch, measure)
                doubt = [np.mean(-np.expm1(-v) if measure == "loss" else 1 / (1 + np.exp(v))) for v in values]
                yield batch, self._moved(recorder.rows(), examples, batch).cpu().float().numpy(), np.array(doubt)

    def _moved(self, rows: Float[torch.Tensor, "b d"], examples: Examples, batch: Sequence[int]) -> Float[torch.Tensor, "b d"]:
        """The rows with what momentum adds: to the gradient of a mean over tokens, as the optimiser has it."""
        if OFFSET not in self.fitted:
            return rows
        tokens = torch.tensor([[max(1, int(examples.counted[row].sum()))] for row in batch]).to(rows)
        return rows / tokens + self.fitted[OFFSET].to(rows)


def load_fitted(lm: LM, folder: Path) -> Bases:
    """What was fitted before the rows of the index in this folder; nothing where nothing was."""
    from safetensors.torch import load_file

    if not (folder / FITTED).exists():
        return {}
    read = load_file(folder / FITTED, device=str(lm.device))
    found = {name: tensor for name, tensor in read.items() if not name.startswith(SPARSE)}
    for name in (name for name in read if name.startswith(SPARSE) and name.endswith("/values")):
        stem = name.removesuffix("/values")
        dense = torch.zeros(read[f"{stem}/shape"].tolist(), dtype=read[name].dtype, device=lm.device)
        dense.view(-1)[read[f"{stem}/places"]] = read[name]
        found[stem.removeprefix(SPARSE)] = dense
    return found


def save_fitted(folder: Path, fitted: Bases) -> None:
    """Write it where `load_fitted` finds it; of a tensor that is nearly all zeros, as signs of tokens are, the others alone."""
    from safetensors.torch import save_file

    kept: Bases = {}
    for name, tensor in fitted.items():
        places = tensor.flatten().nonzero()[:, 0] if tensor.is_floating_point() else torch.empty(tensor.numel())
        if len(places) * SPARE < tensor.numel():
            parts = {"places": places, "values": tensor.flatten()[places], "shape": torch.tensor(tensor.shape)}
            kept |= {f"{SPARSE}{name}/{part}": value for part, value in parts.items()}
        else:
            kept[name] = tensor
    if kept:
        with whole(folder / FITTED) as part:
            save_file({name: tensor.contiguous() for name, tensor in kept.items()}, part)
            part.chmod(0o644)  # safetensors writes for the owner alone, the other files are for whoever may read the folder
