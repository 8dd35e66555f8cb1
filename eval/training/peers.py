"""Other packages' scores of a world's rows: each by its runner of `eval/speed/peers`, in a Python of its own."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Int

from eval.harness.command import peer_option
from eval.harness.contract import Entry, Scored
from eval.harness.jobs import RefusedError, run_job
from eval.speed.peers.common import IGNORED
from llmattr.errors import LlmattrError
from llmattr.text.rows import Examples

if TYPE_CHECKING:
    from eval.training.world import World

WAYS = {"bergson": ("index", "ekfac"), "dattri": ("index",)}  # what is asked of each
WIDTH, BATCH = 16, 32  # of each layer's projection, width x width numbers; rows at once
OPTION = peer_option(WAYS)


@dataclass(frozen=True)
class Peer:
    """A package's way to score rows: an index of projected gradients, or its EK-FAC. It tracks the blocks' linear layers."""

    name: str
    way: str
    python: str
    family: ClassVar[str] = "predictive"

    def score(self, world: "World") -> Scored:
        """Its scores of the world's trained model; raises `LlmattrError` with the last line that it said where it fails."""
        trainer = world.ablation.causal(self.name)
        (rows, counted), (queries, asked) = padded(trainer.rows), padded(trainer.queries)
        options = {"model": world.checkpoints()[-1], "dtype": "float32", "method": self.way, "width": WIDTH, "batch": BATCH}
        with tempfile.TemporaryDirectory() as place:
            try:
                result, scores = run_job(
                    self.name, Path(place) / "job", rows, queries, self.python, labels=(counted, asked), **options
                )
            except RefusedError as why:
                raise LlmattrError(f"{self.name} could not be run: {why}") from why
        assert scores is not None  # there are queries
        seconds = sum(result["cpu_seconds"].values()) + world.seconds_a_model
        return Scored(scores, {"CPU s": seconds, "models": 1, "bytes": result["index_bytes"]})


def lines(given: Mapping[str, str]) -> list[Entry]:
    """A line for each way of the peers whose Pythons are given."""
    ways = [(name, way, python) for name, python in given.items() for way in WAYS[name]]
    return [Entry(f"{name}, {way}", Peer(name, way, python)) for name, way, python in ways]


def padded(examples: Examples) -> tuple[Int[np.ndarray, "n s"], Int[np.ndarray, "n s"]]:
    """Tokens, with zeros behind the shorter rows, and the labels: what counts, and `IGNORED` elsewhere."""
    ids = np.zeros((len(examples), max(map(len, examples.ids))), dtype=int)
    labels = np.full_like(ids, IGNORED)
    for row, (tokens, counts) in enumerate(zip(examples.ids, examples.counted, strict=True)):
        ids[row, : len(tokens)] = tokens
        labels[row, : len(tokens)] = np.where(counts, tokens, IGNORED)
    return ids, labels
