"""From examples to rows of an index: batches of similar length, capture, projection; resumable at every batch."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.files import whole
from llmattr.core.progress import Progress
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.capture import Measure, capturing
from llmattr.training.gradients.layers import linear_layers
from llmattr.training.gradients.moments import SCALES, scales
from llmattr.training.gradients.project import Bases, Dense, Sketch, choose, fit_bases
from llmattr.training.gradients.recorders import not_finite
from llmattr.training.gradients.untracked import left_out, track
from llmattr.training.index.store import FITTED, GradientIndex, Normalize, Projection

BATCH_TOKENS = 2048
FIT_ROWS = 128  # rows whose second moments give the principal directions
TWO_SIDED = ("principal", "random")
Rows = Iterator[tuple[Sequence[int], Float[np.ndarray, "b d"], Float[np.ndarray, " b"]]]


def plan(examples: Examples, tokens: int | None = None) -> list[list[int]]:
    """Row numbers in batches of similar length, longest first, of at most so many tokens with their padding.

    The same data gives the same batches, so a resumed run computes the very numbers of an uninterrupted one.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(examples)), key=lambda i: (-len(examples.ids[i]), i)):
        if not batches or (len(batches[-1]) + 1) * len(examples.ids[batches[-1][0]]) > (tokens or BATCH_TOKENS):
            batches.append([])
        batches[-1].append(row)
    return batches


def sample(examples: Examples, rows: int, seed: int) -> Examples:
    """So many examples, chosen by seed and content whatever their order: what directions and curvatures are fitted on."""
    digests = [hashlib.sha256(f"{seed} {ids}".encode()).digest() for ids in examples.ids]
    return examples.subset(sorted(sorted(range(len(examples)), key=lambda row: (digests[row], row))[:rows]))


@runtime_checkable
class Features(Protocol):
    """What makes the rows of an index from examples."""

    @property
    def dim(self) -> int:
        """The length of a row."""
        ...

    @property
    def fitted(self) -> Bases:
        """What was fitted before the rows, kept with the index."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What run.json has to say of it."""
        ...

    def rows(self, examples: Examples, batches: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """For each batch its row numbers, rows, and the mean of 1 - p over each row's counted tokens."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Projector:
    """Projected gradients: a model, its tracked layers, a projection, and the bases (or scales) that were fitted for it."""

    lm: LM
    projection: Projection
    layers: dict[str, torch.nn.Module]
    groups: dict[str, str]
    fitted: Bases

    @staticmethod
    def fit(lm: LM, projection: Projection, pattern: str, examples: Examples, normalize: Normalize = "none") -> "Projector":
        """Choose the layers and, for a two-sided projection, make its bases from a sample of the examples."""
        layers, part = track(lm, pattern), sample(examples, FIT_ROWS, projection.seed)
        scaled = scales(normalize, lm, part, layers, plan(part))
        if projection.kind not in TWO_SIDED:
            return Projector(lm, projection, layers, {}, scaled)
        groups, bases = fit_bases(lm, part, layers, projection, plan(part), scaled)
        if projection.kind == "principal":
            part = sample(part, FIT_ROWS // 2, projection.seed)
            groups, bases = choose(lm, part, layers, projection, plan(part), (groups, bases))
        kept = {f"{SCALES}{name}/{side}": scaled[f"{name}/{side}"] for name in groups for side in ("in", "out") if scaled}
        return Projector(lm, projection, {name: layers[name] for name in groups}, groups, bases | kept)

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
            "left_out": left_out(self.lm.model, self.layers),
        }

    def recorder(self) -> Sketch | Dense:
        """A fresh recorder for the hooks; its `dim` is the length of a row."""
        if self.projection.kind in TWO_SIDED:
            return Sketch(self.projection, self.groups, self.fitted)
        return Dense(self.projection, self.layers, self.fitted)

    def rows(self, examples: Examples, batches: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """For each batch its row numbers, projected gradients, and the mean of 1 - p over each row's counted tokens."""
        recorder = self.recorder()
        with capturing(self.lm, self.layers, recorder) as run:
            for batch in batches:
                values = run(examples, batch, measure)
                doubt = [np.mean(-np.expm1(-v) if measure == "loss" else 1 / (1 + np.exp(v))) for v in values]
                yield batch, recorder.rows().cpu().float().numpy(), np.array(doubt)


def tracked(lm: LM, run: dict[str, Any]) -> dict[str, torch.nn.Module]:
    """The layers that a run.json names."""
    return {name: module for name, module in linear_layers(lm).items() if name in run["layers"]}


def load_fitted(lm: LM, folder: Path) -> Bases:
    """What was fitted before the rows of the index in this folder; nothing where nothing was."""
    from safetensors.torch import load_file

    return load_file(folder / FITTED, device=str(lm.device)) if (folder / FITTED).exists() else {}


def save_fitted(folder: Path, fitted: Bases) -> None:
    """Write it where `load_fitted` finds it."""
    from safetensors.torch import save_file

    if fitted:
        with whole(folder / FITTED) as part:
            save_file({name: tensor.contiguous() for name, tensor in fitted.items()}, part)
            part.chmod(0o644)  # safetensors writes for the owner alone, the other files are for whoever may read the folder


def batch_tokens(device: torch.device) -> int:
    """How many tokens a batch holds at most on this device: one that is wide needs more of them to be busy."""
    return BATCH_TOKENS if device.type == "cpu" else 8 * BATCH_TOKENS


def fill(
    index: GradientIndex,
    features: Features,
    examples: Examples,
    measure: Measure,
    tokens: int,
    process: int = 0,
    processes: int = 1,
) -> None:
    """Compute this process's share of the last rows of the index that are not there yet; the examples are those rows.

    In batches of so many tokens, which are halved until memory suffices.
    """
    from accelerate.utils import find_executable_batch_size
    from accelerate.utils.memory import should_reduce_batch_size

    first = len(index) - len(examples)

    def compute(tokens: int) -> None:
        share = plan(examples, tokens)[process::processes]
        missing = [batch for batch in share if not index.done[first + np.array(batch)].all()]
        done = sum(map(len, share)) - sum(map(len, missing))
        with Progress(sum(map(len, share)), "indexing", "rows", done) as bar:
            for batch, rows, doubt in features.rows(examples, missing, measure):
                index.write([first + row for row in batch], rows, doubt)
                bar.update(len(batch))

    try:
        compute(tokens)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        # Only now: its garbage collection costs as much as a small index.
        find_executable_batch_size(compute, starting_batch_size=tokens // 2)()


def project(features: Features, examples: Examples, measure: Measure) -> Float[np.ndarray, "n d"]:
    """The rows of a few examples, in memory."""
    rows = np.empty((len(examples), features.dim), dtype=np.float32)
    for batch, block, _ in features.rows(examples, plan(examples), measure):
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise not_finite(f"what the method takes of {examples.name(batch[int(finite.argmin())])}")
        rows[batch] = block
    return rows
