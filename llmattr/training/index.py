"""An index on disk: one row of D numbers for each training example, built once, resumable, searched often.

run.json            what it was made from and how; "complete" and checksums once every row is there
rows.parquet        the training rows themselves
vectors.bin         [n, D] int8 (or float16), memory-mapped
scales.bin          [n] float32: a row is `scale * int8` (one for float16)
doubt.bin           [n] float32: the mean of 1 - p over the row's counted tokens (TRAK's output-to-loss term)
done.bin            [n] uint8: 1 where the row is written
bases.safetensors   the projection's directions
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError
from llmattr.method import option
from llmattr.saved import write

VERSION = 1
BLOCK = 2**24  # numbers of an index turned to float32 at once: 64 MB
OWN = ("vectors", "scales", "doubt", "done", "rows", "bases", "run")
DTYPES = {"int8": np.int8, "float16": np.float16}


Kind = Literal["principal", "random", "rademacher", "identity"]


@dataclass(frozen=True)
class Projection:
    """How gradients become rows of an index.

    `principal`: P and Q hold the layer's leading covariance directions and, in the last `complement` of the width, random
    directions orthogonal to them. `random`: Gaussian, unbiased. `rademacher`: a dense matrix of signs over the whole gradient,
    as TRAK has it (slow). `identity`: the whole gradient.
    """

    kind: Kind = option("principal", "principal, random, rademacher (dense, slow) or identity (the whole gradient)")
    dim: int = option(1024, "numbers in a row of the index", least=1)
    width: int = option(16, "directions kept of each layer's input and of its output", least=1)
    complement: float = option(0.0, "share of the width that is random instead of principal", below=1)
    seed: int = option(0, "seed of everything random", below=2**63)


@dataclass(frozen=True, eq=False)
class GradientIndex:
    """The rows of an index folder. `run` is its run.json."""

    folder: Path
    run: dict[str, Any]
    vectors: np.memmap
    scales: np.memmap
    doubt: np.memmap
    done: np.memmap

    @staticmethod
    def create(folder: Path, run: dict[str, Any], rows: Sequence[dict[str, Any]]) -> "GradientIndex":
        """Begin an index of `run["n"]` rows of `run["dim"]` numbers, or go on with the one that was begun with the same run.

        Raises `LlmattrError` when the folder holds an index of something else: the message names the first field that differs.
        """
        run = {"version": VERSION, **run}
        if (folder / "run.json").exists():
            begun = _read_run(folder)
            refuse_difference(begun, run, f"{str(folder)!r} holds an index of something else; give another --out")
            return GradientIndex._map(folder, begun, "r+")
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.stem.split(".")[0] not in OWN for path in folder.iterdir()):  # a kill may have left files of our own
            raise LlmattrError(f"{str(folder)!r} is not empty and not an index: give another --out")
        for name, size in _sizes(run).items():
            with (folder / f"{name}.bin").open("wb") as file:
                file.truncate(size)
        _write_rows(folder, rows)
        write(folder / "run.json", json.dumps(run, indent=1, ensure_ascii=False))  # last: from here on it is an index
        return GradientIndex._map(folder, run, "r+")

    @staticmethod
    def open(folder: str | Path) -> "GradientIndex":
        """Open a finished index; raises `LlmattrError` for a folder that is none, is half built, or of another version."""
        folder = Path(folder)
        run = _read_run(folder)
        index = GradientIndex._map(folder, run, "r")
        if not index.done.all():
            raise LlmattrError(
                f"the index {str(folder)!r} has {int(index.done.sum())} of {run['n']} rows: run the same `trace index` again"
            )
        refuse_difference(run.get("checksums", {}), index.checksums(), f"the index {str(folder)!r} is damaged: build it anew")
        return index

    @staticmethod
    def _map(folder: Path, run: dict[str, Any], mode: Any) -> "GradientIndex":
        try:
            n, dim = run["n"], run["dim"]
            for name, size in _sizes(run).items():
                if (folder / f"{name}.bin").stat().st_size != size:
                    raise ValueError(f"{name}.bin has not {size} bytes")
            vectors = np.memmap(folder / "vectors.bin", DTYPES[run["row_type"]], mode, shape=(n, dim))
            scales = np.memmap(folder / "scales.bin", np.float32, mode, shape=(n,))
            doubt = np.memmap(folder / "doubt.bin", np.float32, mode, shape=(n,))
            done = np.memmap(folder / "done.bin", np.uint8, mode, shape=(n,))
        except (OSError, ValueError, KeyError) as error:
            raise LlmattrError(f"the index {str(folder)!r} is damaged: {error}; build it anew") from error
        return GradientIndex(folder, run, vectors, scales, doubt, done)

    def __len__(self) -> int:
        return self.run["n"]

    def rows(self) -> list[dict[str, Any]]:
        """The training rows."""
        import pandas as pd

        return [json.loads(row) for row in pd.read_parquet(self.folder / "rows.parquet")["row"]]

    def write(self, rows: Sequence[int], block: Float[np.ndarray, "b d"], doubt: Float[np.ndarray, " b"]) -> None:
        """Store these rows. Their done flags are set after their numbers are on disk, so a kill loses no more than a batch."""
        if not np.isfinite(block).all():
            bad = rows[int(np.argmax(~np.isfinite(block).all(axis=1)))]
            raise LlmattrError(f"the gradient of row {bad} is not finite: try float32, or leave the row out")
        scale = np.ones(len(block), dtype=np.float32)
        if self.run["row_type"] == "int8":
            scale = np.maximum(np.abs(block).max(axis=1), np.finfo(np.float32).tiny).astype(np.float32) / 127
            block = np.rint(block / scale[:, None])
        self.vectors[rows] = block.astype(self.vectors.dtype)
        self.scales[rows] = scale
        self.doubt[rows] = doubt
        for file in (self.vectors, self.scales, self.doubt):
            file.flush()
        self.done[rows] = 1
        self.done.flush()

    def finish(self) -> None:
        """Record in run.json that every row is there, with the checksums that `open` compares."""
        run = {**self.run, "complete": True, "checksums": self.checksums()}
        write(self.folder / "run.json", json.dumps(run, indent=1, ensure_ascii=False))

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "b d"]]]:
        """The rows in float32, some at a time, each block with the number of its first row."""
        size = max(1, BLOCK // self.run["dim"])
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield start, self.vectors[rows].astype(np.float32) * self.scales[rows, None]

    def moment(self) -> Float[np.ndarray, "d d"]:
        """The rows' second moment `sum of g g' / n`, in float64."""
        total = np.zeros((self.run["dim"], self.run["dim"]))
        for _, block in self.blocks():
            total += block.T @ block
        return total / len(self)

    def norms(self, transform: Float[np.ndarray, "d d"] | None = None) -> Float[np.ndarray, " n"]:
        """The length of every row, of `g W` when a transform W is given."""
        return np.concatenate([np.linalg.norm(b if transform is None else b @ transform, axis=1) for _, b in self.blocks()])

    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file of numbers."""
        names = ("vectors.bin", "scales.bin", "doubt.bin", "bases.safetensors", "rows.parquet")
        return {name: _sha256(self.folder / name) for name in names if (self.folder / name).exists()}


def _sizes(run: dict[str, Any]) -> dict[str, int]:
    """The bytes of each file of numbers."""
    n = run["n"]
    return {"vectors": n * run["dim"] * np.dtype(DTYPES[run["row_type"]]).itemsize, "scales": 4 * n, "doubt": 4 * n, "done": n}


def refuse_difference(one: dict[str, Any], other: dict[str, Any], message: str) -> None:
    """Raise `LlmattrError` with the message and the first field of `other` that is not the same in `one`."""
    for field, value in other.items():
        if one.get(field) != value:
            raise LlmattrError(f"{message} ({field}: {one.get(field)!r} there, {value!r} here)")


class Top:
    """A running choice of the k highest and k lowest scores of each query, over blocks of rows, in memory of t x 2k."""

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self.scores = np.empty((queries, 0))
        self.rows = np.empty((queries, 0), dtype=np.int64)

    def add(self, rows: Int[np.ndarray, " b"], scores: Float[np.ndarray, "t b"]) -> None:
        """Look at more rows."""
        self.scores = np.concatenate([self.scores, scores], axis=1)
        self.rows = np.concatenate([self.rows, np.broadcast_to(rows, scores.shape)], axis=1)
        if self.scores.shape[1] > 2 * self.k:
            order = self._order()
            self._take(np.concatenate([order[:, : self.k], order[:, -self.k :]], axis=1))

    def result(self) -> tuple[Float[np.ndarray, "t k"], Int[np.ndarray, "t k"]]:
        """Scores, highest first, and the rows that have them; equal scores in the order of their rows."""
        self._take(self._order())
        return self.scores, self.rows

    def _order(self) -> np.ndarray:
        return np.lexsort((self.rows, -self.scores), axis=1)

    def _take(self, order: np.ndarray) -> None:
        self.scores = np.take_along_axis(self.scores, order, axis=1)
        self.rows = np.take_along_axis(self.rows, order, axis=1)


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        version = run["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise LlmattrError(f"{str(folder)!r} is no index: make one with `llmattr trace index --out {folder}`") from None
    if version != VERSION:
        raise LlmattrError(f"the index {str(folder)!r} has version {version}, this llmattr reads {VERSION}: build it again")
    return run


def _write_rows(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pandas as pd

    frame = pd.DataFrame({"row": [json.dumps(row, ensure_ascii=False, default=str) for row in rows]})
    frame.to_parquet(folder / "rows.parquet")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
