"""What the parts of bench_trace share: sizes, workload, trained models, exact scores."""

import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import platformdirs

from eval.speed import topics
from eval.speed.topics import Data, Recipe
from llmattr.model.lm import LM
from llmattr.text.rows import tokenize
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.layers import linear_layers


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    build: tuple[tuple[str, int], ...] = (("llama", 256), ("gpt2", 512))
    rows: int = 500
    real: int = 64  # rows of real text for SmolLM2; 0 leaves it out
    scan: tuple[int, int] = (100_000, 1024)
    wide: int = 4096
    peers: bool = True


FULL_SIZE = Size()
TINY_SIZE = Size(2, (("llama", 32), ("gpt2", 32)), rows=48, real=0, scan=(2000, 64), wide=512, peers=False)


@dataclass(frozen=True, eq=False)
class Bench:
    """What the parts share: the workload, the sizes, the peers' Pythons, and notes for the reader."""

    recipe: Recipe
    size: Size
    scratch: Path
    peers: dict[str, str] = field(default_factory=dict)
    text: Path | None = None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def data(self) -> Data:
        """The topics' rows and queries."""
        return topics.sample(self.recipe)

    @property
    def rows(self) -> np.ndarray:
        """The rows that are scored."""
        return self.data.rows[: self.size.rows]

    @property
    def batch(self) -> int:
        """Rows in a batch of 2,048 tokens."""
        return 2048 // self.recipe.length

    def folder(self, name: str) -> Path:
        """The trained model's folder."""
        return topics.trained(name, self.recipe, platformdirs.user_cache_path("llmattr") / "eval")

    def lm(self, name: str) -> LM:
        """The trained model in float32."""
        return LM.load(self.folder(name), "float32", "cpu")

    def new_folder(self) -> Path:
        """An empty folder name that is not in use."""
        return Path(tempfile.mkdtemp(dir=self.scratch)) / "new"

    @cached_property
    def exact(self) -> np.ndarray:
        """Exact inner products [t, n] of Llama's gradients, a block of rows at a time."""
        lm = self.lm("llama")
        layers = linear_layers(lm)
        rows, queries = (tokenize(topics.texts(ids), lm.tokenizer) for ids in (self.rows, self.data.queries))
        asked = exact_gradients(lm, queries, layers)
        parts = np.array_split(np.arange(len(rows)), max(1, len(rows) // 50))
        return np.concatenate(
            [(asked @ exact_gradients(lm, rows.subset(part.tolist()), layers).T).double().numpy() for part in parts], axis=1
        )
