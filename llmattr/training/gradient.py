"""From examples to rows of an index: batches of similar length, capture, projection; resumable at every batch."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from llmattr.lm import LM
from llmattr.training.capture import Measure, hooks, linear_layers, run_backward
from llmattr.training.data import Examples
from llmattr.training.index import GradientIndex, Projection
from llmattr.training.project import Bases, Dense, Sketch, fit_bases, generator

BATCH_TOKENS = 2048
FIT_ROWS = 128  # rows whose second moments give the principal directions
BASES = "bases.safetensors"
TWO_SIDED = ("principal", "random")


def plan(examples: Examples) -> list[list[int]]:
    """Row numbers in batches of similar length, longest first, of at most `BATCH_TOKENS` tokens with their padding.

    The same data gives the same batches, so a resumed run computes the very numbers of an uninterrupted one.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(examples)), key=lambda i: (-len(examples.ids[i]), i)):
        if not batches or (len(batches[-1]) + 1) * len(examples.ids[batches[-1][0]]) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(row)
    return batches


@dataclasses.dataclass(frozen=True, eq=False)
class Projector:
    """What makes rows of examples' gradients: a model, its tracked layers, a projection and its bases."""

    lm: LM
    projection: Projection
    layers: dict[str, torch.nn.Module]
    groups: dict[str, str]
    bases: Bases

    @staticmethod
    def fit(lm: LM, projection: Projection, pattern: str, examples: Examples) -> "Projector":
        """Choose the layers and, for a two-sided projection, make its bases from a sample of the examples."""
        layers = linear_layers(lm, pattern)
        if projection.kind not in TWO_SIDED:
            return Projector(lm, projection, layers, {}, {})
        sample = generator(projection.seed, "fit").permutation(len(examples))[:FIT_ROWS]
        part = examples.subset(sorted(sample.tolist()))
        return Projector(lm, projection, layers, *fit_bases(lm, part, layers, projection, plan(part)))

    @staticmethod
    def load(lm: LM, index: GradientIndex) -> "Projector":
        """The projector that an index was made with."""
        from safetensors.torch import load_file

        run = index.run
        layers = {name: module for name, module in linear_layers(lm).items() if name in run["layers"]}
        projection, path = Projection(**run["projection"]), index.folder / BASES
        bases = load_file(path, device=str(lm.device)) if projection.kind in TWO_SIDED else {}
        return Projector(lm, projection, layers, run["groups"], bases)

    def save(self, folder: Path) -> None:
        """Write the bases where `load` finds them."""
        from safetensors.torch import save_file

        if self.bases:
            part = folder / f"{BASES}.part"
            save_file({name: basis.contiguous() for name, basis in self.bases.items()}, part)
            part.replace(folder / BASES)

    def recorder(self) -> Sketch | Dense:
        """A fresh recorder for the hooks; its `dim` is the length of a row."""
        return Sketch(self.projection, self.groups, self.bases) if self.bases else Dense(self.projection, self.layers)

    def rows(
        self, examples: Examples, batches: Sequence[Sequence[int]], measure: Measure
    ) -> Iterator[tuple[Sequence[int], Float[np.ndarray, "b d"], Float[np.ndarray, " b"]]]:
        """For each batch its row numbers, projected gradients, and the mean of 1 - p over its counted tokens."""
        recorder = self.recorder()
        with hooks(self.lm.model, self.layers, recorder):
            for batch in batches:
                values = run_backward(self.lm, examples, batch, measure)
                doubt = -np.expm1(-values) if measure == "loss" else 1 / (1 + np.exp(values))
                counted = [examples.counted[i] for i in batch]
                means = [d[: len(c)][c].mean() for d, c in zip(doubt, counted, strict=True)]
                yield batch, recorder.rows().cpu().float().numpy(), np.array(means)


def fill(index: GradientIndex, projector: Projector, examples: Examples, measure: Measure) -> None:
    """Compute every row of the index that is not there yet."""
    missing = [batch for batch in plan(examples) if not index.done[batch].all()]
    with tqdm(
        total=len(examples), initial=int(index.done.sum()), desc="indexing", unit="row", disable=None, leave=False
    ) as bar:
        for batch, rows, doubt in projector.rows(examples, missing, measure):
            new = len(batch) - int(index.done[batch].sum())
            index.write(batch, rows, doubt)
            bar.update(new)


def project(projector: Projector, examples: Examples, measure: Measure) -> Float[np.ndarray, "n d"]:
    """The rows of a few examples, in memory."""
    rows = np.empty((len(examples), projector.recorder().dim), dtype=np.float32)
    for batch, block, _ in projector.rows(examples, plan(examples), measure):
        rows[batch] = block
    return rows


def fingerprint(lm: LM) -> dict[str, str]:
    """Hashes of the model (its configuration, and names, shapes and up to 1,024 values of its weights) and of its tokenizer."""
    config = {key: value for key, value in lm.model.config.to_dict().items() if not key.startswith("_")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in sorted(lm.model.state_dict().items()):
        flat = weight.detach().flatten()
        values = flat[:: max(1, flat.numel() // 1024)].float().cpu().numpy()
        digest.update(f"{name}{tuple(weight.shape)}".encode() + values.tobytes())
    backend = getattr(lm.tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else str(sorted(lm.tokenizer.get_vocab().items()))
    text += str(lm.tokenizer.chat_template)
    return {"model_hash": digest.hexdigest()[:16], "tokenizer_hash": hashlib.sha256(text.encode()).hexdigest()[:16]}
