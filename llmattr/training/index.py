"""An index on disk: one row of D numbers for each training example, built once, resumable, extended, searched often.

run.json            what it was made from and how; "complete" and checksums once every row is there
rows.parquet        the training rows themselves
vectors.bin         [n, D] int8 (or float16, float32), memory-mapped; D = 0 for methods that keep no rows
scales.bin          [n] float32: a row is `scale * int8` (one for floats)
doubt.bin           [n] float32: the mean of 1 - p over the row's counted tokens (TRAK's output-to-loss term)
done.bin            [n] uint8: 1 where the row is written
fitted.safetensors  what was fitted before the rows: the projection's directions, or a method's curvature
moment.npy          the rows' second moment, once a query needed it
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from llmattr.errors import LlmattrError
from llmattr.files import whole, write
from llmattr.method import option
from llmattr.plain_json import json_text

VERSION = 2
BLOCK = 2**24  # numbers of an index turned to float32 at once: 64 MB
FITTED = "fitted.safetensors"
MOMENT = "moment.npy"
OWN = ("vectors", "scales", "doubt", "done", "rows", "fitted", "moment", "faiss", "run")
DTYPES = {"int8": np.int8, "float16": np.float16, "float32": np.float32}


Kind = Literal["principal", "random", "rademacher", "identity"]
Normalize = Literal["data", "optimizer", "none"]


@dataclass(frozen=True)
class Projection:
    """How gradients become rows of an index.

    `principal`: P and Q hold the leading covariance directions of a layer's inputs and output gradients, and a row the
    coordinates with the most energy over all layers; the last `complement` of the row is a sketch of the others.
    `random`: Gaussian directions, unbiased, all sketched. `rademacher`: a dense matrix of signs over the whole gradient,
    as TRAK has it (slow). `identity`: the whole gradient.
    """

    kind: Kind = option("principal", "principal, random, rademacher (dense, slow) or identity (the whole gradient)")
    dim: int = option(1024, "numbers in a row of the index", least=1)
    width: int = option(16, "directions kept of each layer's input and of its output", least=1)
    complement: float = option(0.25, "share of a principal row that sketches what has no place of its own", below=1)
    seed: int = option(0, "seed of everything random", below=2**63)


@dataclass(frozen=True, eq=False)
class GradientIndex:
    """The rows of an index folder. `run` is its run.json."""

    folder: Path
    run: dict[str, Any]
    vectors: np.ndarray
    scales: np.memmap
    doubt: np.memmap
    done: np.memmap

    @staticmethod
    def create(folder: Path, run: dict[str, Any], rows: Sequence[dict[str, Any]], append: bool = False) -> "GradientIndex":
        """Begin an index of these rows, go on with the one that the same call began, or `append` them to a finished one.

        `run` has "dim", "row_type" and "data_hash" of the rows. Raises `LlmattrError` when the folder holds an index of
        something else: the message names the first field that differs.
        """
        part = {"rows": len(rows), "data_hash": run.pop("data_hash")}
        run = {"version": VERSION, **run}
        if (folder / "run.json").exists():
            run = _go_on(folder, run, part, append)
        else:
            check_empty(folder)
            run |= {"n": len(rows), "parts": [part]}
            _save_run(folder, run)
        _make_room(folder, run, rows)
        return GradientIndex._map(folder, run, "r+")

    @staticmethod
    def open(folder: str | Path) -> "GradientIndex":
        """Open a finished index; raises `LlmattrError` for a folder that is none, is half built, or of another version."""
        folder = Path(folder)
        run = read_run(folder)
        if not run.get("complete"):
            done = np.fromfile(folder / "done.bin", np.uint8).sum() if (folder / "done.bin").exists() else 0
            raise LlmattrError(f"the index {str(folder)!r} has {done} of {run['n']} rows: run the same `trace index` again")
        index = GradientIndex._map(folder, run, "r")
        refuse_difference(run["checksums"], index.checksums(), f"the index {str(folder)!r} is damaged: build it anew")
        return index

    @staticmethod
    def _map(folder: Path, run: dict[str, Any], mode: Any) -> "GradientIndex":
        try:
            n, dim = run["n"], run["dim"]
            for name, size in _sizes(run).items():
                if (folder / f"{name}.bin").stat().st_size != size:
                    raise ValueError(f"{name}.bin has not {size} bytes")
            kind: Any = DTYPES[run["row_type"]]
            vectors = np.memmap(folder / "vectors.bin", kind, mode, shape=(n, dim)) if dim else np.zeros((n, 0), kind)
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
        return _read_rows(self.folder)

    def write(self, rows: Sequence[int], block: Float[np.ndarray, "b d"], doubt: Float[np.ndarray, " b"]) -> None:
        """Store these rows. Their done flags are set after their numbers are on disk, so a kill loses no more than a batch."""
        if not np.isfinite(block).all():
            bad = rows[int(np.argmax(~np.isfinite(block).all(axis=1)))]
            raise LlmattrError(f"the gradient of row {bad} is not finite: load the model in float32, or leave the row out")
        scale = np.ones(len(block), dtype=np.float32)
        if self.run["row_type"] == "int8":
            scale = np.maximum(np.abs(block).max(axis=1, initial=0), np.finfo(np.float32).tiny).astype(np.float32) / 127
            block = np.rint(block / scale[:, None])
        self.vectors[rows] = block.astype(self.vectors.dtype)
        self.scales[rows] = scale
        self.doubt[rows] = doubt
        for file in (self.vectors, self.scales, self.doubt):
            if isinstance(file, np.memmap):
                file.flush()
        self.done[rows] = 1
        self.done.flush()

    def finish(self) -> None:
        """Record in run.json that every row is there, with the checksums that `open` compares."""
        for left in self.folder.glob("*.part"):  # by runs that were killed
            left.unlink(missing_ok=True)
        _save_run(self.folder, {**self.run, "complete": True, "checksums": self.checksums()})

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "b d"]]]:
        """The rows in float32, some at a time, each block with the number of its first row."""
        size = max(1, BLOCK // max(1, self.run["dim"]))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield start, self.vectors[rows].astype(np.float32) * self.scales[rows, None]

    def moment(self) -> Float[np.ndarray, "d d"]:
        """The rows' second moment `sum of g g' / n`, in float64; computed once and kept with the index."""
        kept = self.folder / MOMENT
        if kept.exists():
            return np.load(kept)
        total = np.zeros((self.run["dim"], self.run["dim"]))
        for _, block in self.blocks():
            total += block.T @ block
        total /= len(self)
        with suppress(OSError), whole(kept) as part, part.open("wb") as file:  # one that may only be read is asked all the same
            np.save(file, total)
        return total

    def norms(self, transform: Float[np.ndarray, "d d"] | None = None) -> Float[np.ndarray, " n"]:
        """The length of every row, of `g W` when a transform W is given."""
        return np.concatenate([np.linalg.norm(b if transform is None else b @ transform, axis=1) for _, b in self.blocks()])

    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file of numbers."""
        names = ("vectors.bin", "scales.bin", "doubt.bin", FITTED, "rows.parquet")
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


def check_empty(folder: Path) -> None:
    """Make the folder of a new index; raises `LlmattrError` where it holds anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(path.name.split(".")[0] not in OWN for path in folder.iterdir()):  # a kill may have left files of our own
        raise LlmattrError(f"{str(folder)!r} is not empty and not an index: give another --out")


def _go_on(folder: Path, run: dict[str, Any], part: dict[str, Any], append: bool) -> dict[str, Any]:
    """The run of an index that was begun, after checking that it is this one; with one part more when rows are appended."""
    begun = read_run(folder)
    refuse_difference(begun, run, f"{str(folder)!r} holds an index of something else; give another --out")
    if begun["parts"][-1] == part:
        return begun
    if not append:
        refuse_difference(
            begun["parts"][-1], part, f"{str(folder)!r} holds other data; give another --out, or append (--append)"
        )
    if part in begun["parts"]:
        raise LlmattrError(f"the index {str(folder)!r} has this data already")
    if not begun.pop("complete", False):
        raise LlmattrError(f"the index {str(folder)!r} is not finished: run its `trace index` again before you append to it")
    for stale in (folder / MOMENT, *folder.glob("faiss.*")):
        stale.unlink(missing_ok=True)
    run = {**begun, "n": begun["n"] + part["rows"], "parts": [*begun["parts"], part]}
    _save_run(folder, run)
    return run


def _make_room(folder: Path, run: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Bring the files to their sizes, and the new rows into theirs; does nothing where that was done."""
    flags = folder / "done.bin"
    if not flags.exists() or flags.stat().st_size < run["n"]:  # it grows last: where it has its size all others must
        for name, size in _sizes(run).items():
            _reserve(folder / f"{name}.bin", size)
    there = _read_rows(folder) if (folder / "rows.parquet").exists() else []
    if len(there) < run["n"]:
        _write_rows(folder, [*there, *rows])


def _reserve(path: Path, size: int) -> None:
    """Bring a file to its size with room on the disk for all of it: a memory map has no way to say that there is none."""
    with path.open("ab") as file:
        try:
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
        except OSError as error:
            raise LlmattrError(f"no room for the {size / 2**20:.1f} MB of {str(path)!r}: {error.strerror}") from error


def _save_run(folder: Path, run: dict[str, Any]) -> None:
    write(folder / "run.json", json_text(run))


def read_run(folder: Path) -> dict[str, Any]:
    """The run.json of an index; raises `LlmattrError` where there is none, or one of another version."""
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
    with whole(folder / "rows.parquet") as part:
        frame.to_parquet(part)


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    import pandas as pd

    return [json.loads(row) for row in pd.read_parquet(folder / "rows.parquet")["row"]]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
