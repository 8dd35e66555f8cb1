"""An index on disk: one row of D numbers for each training example, built once, resumable, extended, searched often.

run.json            what it was made from and how, with a digest of itself; "complete" and checksums once every row is there
rows.parquet        the training rows themselves, in groups of which only the wanted ones are read
vectors.bin         [n, D] int8 (or float16, float32), memory-mapped; D = 0 for methods that keep no rows
scales.bin          [n] float32: a row is `scale * int8` (one for floats)
doubt.bin           [n] float32: the mean of 1 - p over the row's counted tokens (TRAK's output-to-loss term)
done.bin            [n] uint8: 1 where the row is written
fitted.safetensors  what was fitted before the rows: the projection's directions, or a method's curvature
moment.npz          the rows' second moment, once a query needed it
root.*.npz          what one query is whitened with, and the rows' lengths then (`TrackStar`)
null.*.npz          what questions score by chance, by a method (`chance`)
kept.*              what a method that quotes keeps of the rows' texts
checked             empty: its time says when the bytes of the others were last compared with their checksums
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.files import read_arrays, write_arrays
from llmattr.errors import LlmattrError, note
from llmattr.text.rows import row_text
from llmattr.training.index.files import (
    VERSION,
    after_writing,
    check_bytes,
    checksums,
    damaged,
    mark_checked,
    read_run,
    reserve,
    save_run,
)
from llmattr.training.index.rows import ROWS, add_rows, count_rows, each_row, read_rows

BLOCK = 2**24  # numbers of an index turned to float32 at once: 64 MB
FITTED = "fitted.safetensors"
BYTES = ("vectors.bin", "scales.bin", "doubt.bin", FITTED, ROWS)  # what has a checksum
OWN = ("vectors", "scales", "doubt", "done", "rows", "fitted", "moment", "root", "faiss", "null", "kept", "run", "checked")
TEMPORARY = ".tmp*"  # safetensors writes under such a name first, and a kill leaves it
DTYPES = {"int8": np.int8, "float16": np.float16, "float32": np.float32}


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

        `run` has "dim", "row_type", and of the rows "data_hash" and, where that was said, how they were "read". Raises
        `LlmattrError` when the folder holds an index of something else: the message names the first field that differs.
        """
        part = {"rows": len(rows), "data_hash": run.pop("data_hash"), **run.pop("read", {})}
        run = {"version": VERSION, **run}
        if (folder / "run.json").exists():
            run = _go_on(folder, run, part, append)
        else:
            check_empty(folder, keep=FITTED)  # of this index: it is fitted before it is begun
            run |= {"n": len(rows), "parts": [part], "checksums": checksums(folder, (FITTED,))}
            save_run(folder, run)
        for left in folder.iterdir():  # by a build that was killed
            if (left.match("*.part") and _is_own(left)) or left.match(TEMPORARY):
                left.unlink(missing_ok=True)
        _make_room(folder, run, rows)
        return GradientIndex._map(folder, run, "r+")

    @staticmethod
    def open(folder: str | Path) -> "GradientIndex":
        """Open a finished index; raises `LlmattrError` for a folder that is none, is half built, of another version or damaged.

        Every byte is compared with its checksum once, and again only where a file was changed since.
        """
        folder = Path(folder)
        run = read_run(folder)
        if not run.get("complete"):
            done = np.fromfile(folder / "done.bin", np.uint8).sum() if (folder / "done.bin").exists() else 0
            raise LlmattrError(f"the index {str(folder)!r} has {done} of {run['n']} rows: run the same `trace index` again")
        index = GradientIndex._map(folder, run, "r")
        check_bytes(folder, run["checksums"])
        return index

    @staticmethod
    def _map(folder: Path, run: dict[str, Any], mode: Literal["r", "r+"]) -> "GradientIndex":
        try:
            n, dim = run["n"], run["dim"]
            for name, size in _sizes(run).items():
                if (folder / f"{name}.bin").stat().st_size != size:
                    raise damaged(folder, f"{name}.bin has not {size} bytes")
            kind: Any = DTYPES[run["row_type"]]
            vectors = np.memmap(folder / "vectors.bin", kind, mode, shape=(n, dim)) if dim else np.zeros((n, 0), kind)
            scales = np.memmap(folder / "scales.bin", np.float32, mode, shape=(n,))
            doubt = np.memmap(folder / "doubt.bin", np.float32, mode, shape=(n,))
            done = np.memmap(folder / "done.bin", np.uint8, mode, shape=(n,))
        except PermissionError as error:
            raise LlmattrError(f"the index {str(folder)!r} may not be {'read' if mode == 'r' else 'written'} by you") from error
        except OSError as error:
            raise damaged(folder, f"{Path(error.filename or folder).name} cannot be read ({error.strerror})") from error
        return GradientIndex(folder, run, vectors, scales, doubt, done)

    def __len__(self) -> int:
        return self.run["n"]

    def rows(self, numbers: Int[np.ndarray, " k"] | Sequence[int] | None = None) -> list[dict[str, Any]]:
        """The training rows, or only these of them, which alone are read."""
        return read_rows(self.folder, numbers)

    def texts(self) -> list[str]:
        """The texts of all rows."""
        return [row_text(row) for row in each_row(self.folder)]

    def write(self, rows: Sequence[int], block: Float[np.ndarray, "b d"], doubt: Float[np.ndarray, " b"]) -> None:
        """Store these rows. Their done flags are set after their numbers are on disk, so a kill loses no more than a batch.

        Raises `LlmattrError` for a row with a number that is not finite, or that the type of the rows cannot hold.
        """
        bad = ~np.isfinite(block).all(axis=1) | ~np.isfinite(doubt)
        if bad.any():
            row = rows[int(np.argmax(bad))]
            raise LlmattrError(f"the gradient of row {row} is not finite: load the model in float32, or leave the row out")
        scale = np.ones(len(block), dtype=np.float32)
        if self.run["row_type"] == "int8":
            scale = np.maximum(np.abs(block).max(axis=1, initial=0), np.finfo(np.float32).tiny).astype(np.float32) / 127
            block = np.rint(block / scale[:, None])
        with np.errstate(over="ignore"):
            stored = block.astype(self.vectors.dtype)
        large = ~(np.isfinite(stored).all(axis=1) & np.isfinite(scale))
        if large.any():
            row = rows[int(np.argmax(large))]
            raise LlmattrError(
                f"the gradient of row {row} is too large for {self.run['row_type']}: store rows as int8 or float32"
            )
        self.vectors[rows], self.scales[rows], self.doubt[rows] = stored, scale, doubt
        for file in (self.vectors, self.scales, self.doubt):
            if isinstance(file, np.memmap):
                file.flush()
        self.done[rows] = 1
        self.done.flush()

    def finish(self) -> None:
        """Record in run.json that every row is there, with the checksums that `open` compares; once, so that they stay."""
        if not self.run.get("complete"):
            started = after_writing()
            sums = checksums(self.folder, (*BYTES, *sorted(path.name for path in self.folder.glob("kept.*"))))
            if sums | self.run["checksums"] != sums:
                raise damaged(self.folder, f"{FITTED} is not what was written")
            save_run(self.folder, {**self.run, "complete": True, "checksums": sums})
            mark_checked(self.folder, started)

    def mapped(self, rows: slice) -> np.ndarray:
        """Rows start to stop as they are stored [b, d], by a map of their own, so that all others are not held in memory."""
        kind, dim = self.vectors.dtype, self.run["dim"]
        if not dim:
            return self.vectors[rows]
        place = {"offset": rows.start * dim * kind.itemsize, "shape": (rows.stop - rows.start, dim)}
        return np.memmap(self.folder / "vectors.bin", kind, "r", **place)

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "b d"]]]:
        """The rows in float32, some at a time, each block with the number of its first row."""
        size = max(1, BLOCK // max(1, self.run["dim"]))
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield start, self.mapped(rows).astype(np.float32) * self.scales[rows, None]

    def stored(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k d"]:
        """These rows in float32."""
        return self.vectors[rows].astype(np.float32) * self.scales[rows, None]

    def moment(self) -> Float[np.ndarray, "d d"]:
        """The rows' second moment `sum of g g' / n`, in float64; computed once and kept with the index."""

        def compute() -> dict[str, np.ndarray]:
            total = np.zeros((self.run["dim"], self.run["dim"]))
            for _, block in self.blocks():
                total += block.T @ block
            return {"moment": total / len(self)}

        return self.once("moment", compute)["moment"]

    def once(self, name: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What was computed of these rows: kept with the index under this name, of which the first word is one of `OWN`."""
        path = self.folder / f"{name}.npz"
        with suppress(OSError, LlmattrError):  # there is none, or it is damaged
            kept = read_arrays(path)
            if kept.pop("n") == len(self):  # else of an index that was appended to meanwhile
                return kept
        found = compute()
        with suppress(LlmattrError):  # an index that may only be read is asked all the same
            write_arrays(path, **found, n=len(self))
        return found


def _sizes(run: dict[str, Any]) -> dict[str, int]:
    """The bytes of each file of numbers."""
    n = run["n"]
    return {"vectors": n * run["dim"] * np.dtype(DTYPES[run["row_type"]]).itemsize, "scales": 4 * n, "doubt": 4 * n, "done": n}


def refuse_difference(one: dict[str, Any], other: dict[str, Any], message: str) -> None:
    """Raise `LlmattrError` with the message and the first field of `other` that is not the same in `one`."""
    for field, value in other.items():
        if one.get(field) != value:
            raise LlmattrError(f"{message} ({field}: {one.get(field)!r} there, {value!r} here)")


def refuse_other(folder: Path, begun: dict[str, Any], run: dict[str, Any]) -> None:
    """Raise `LlmattrError` where the index that was begun in the folder is not this one."""
    refuse_difference(begun, run, f"{str(folder)!r} holds an index of something else; give another --out")


def check_empty(folder: Path, keep: str = "") -> None:
    """Make the folder of a new index; raises `LlmattrError` where it holds anything else.

    Files of our own that have no run.json (a kill, or somebody who removed some) are of nobody knows which index, and removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not all(_is_own(path) for path in folder.iterdir()):
        raise LlmattrError(f"{str(folder)!r} is not empty and not an index: give another --out")
    for path in folder.iterdir():
        if path.name != keep:
            path.unlink(missing_ok=True)


def _is_own(path: Path) -> bool:
    return path.name.split(".")[0] in OWN or path.match(TEMPORARY)


def _go_on(folder: Path, run: dict[str, Any], part: dict[str, Any], append: bool) -> dict[str, Any]:
    """The run of an index that was begun, after checking that it is this one; with one part more when rows are appended."""
    begun = read_run(folder)
    refuse_other(folder, begun, run)
    if begun["parts"][-1] == part:
        if append and begun.get("complete"):
            note(f"the index {str(folder)!r} has this data already: nothing is added")
        return begun
    if not append:
        refuse_difference(
            begun["parts"][-1], part, f"{str(folder)!r} holds other data; give another --out, or append (--append)"
        )
    if part in begun["parts"]:
        raise LlmattrError(f"the index {str(folder)!r} has this data already")
    if not begun.pop("complete", False):
        raise LlmattrError(f"the index {str(folder)!r} is not finished: run its `trace index` again before you append to it")
    for stale in (path for name in ("moment", "root", "faiss", "null") for path in folder.glob(f"{name}.*")):
        stale.unlink(missing_ok=True)
    sums = {name: begun["checksums"][name] for name in (FITTED,) if name in begun["checksums"]}
    run = {**begun, "n": begun["n"] + part["rows"], "parts": [*begun["parts"], part], "checksums": sums}
    save_run(folder, run)
    return run


def _make_room(folder: Path, run: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Bring the files to their sizes, and the new rows into theirs; does nothing where that was done."""
    flags = folder / "done.bin"
    if not flags.exists() or flags.stat().st_size < run["n"]:  # it grows last: where it has its size all others must
        for name, size in _sizes(run).items():
            reserve(folder / f"{name}.bin", size)
    missing = run["n"] - count_rows(folder)
    if missing not in (0, len(rows)):
        raise damaged(folder, f"{ROWS} has {run['n'] - missing} of {run['n']} rows")
    if missing:
        add_rows(folder, rows)
