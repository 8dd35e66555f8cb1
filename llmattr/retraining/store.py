"""Finished runs on disk: what a model said that was trained on one mask with one seed. No run is made twice."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.files import arrays_as_bytes, digest, read_arrays, write_record, write_together
from llmattr.errors import LlmattrError, note


class Run(NamedTuple):
    """One model: which sources it was trained on, and with which seed."""

    mask: Bool[np.ndarray, " n"]
    seed: int

    @property
    def key(self) -> str:
        """What a run is found by: the digest of its mask and seed."""
        return hashlib.sha256(np.packbits(self.mask).tobytes() + f"/{len(self.mask)}/{self.seed}".encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class RunStore:
    """A folder with one small file for each finished run, written whole or not at all: by any number of processes at once.

    Runs of different data, models, recipes or targets live in different folders below the one that is named (`RunStore.of`).
    """

    folder: Path

    @staticmethod
    def of(folder: str | Path, record: dict[str, Any]) -> "RunStore":
        """The part of the folder for what is described by the record, which is written there as run.json."""
        folder = Path(folder)
        place = folder / digest(record)[:12]
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LlmattrError(f"cannot keep runs in {str(folder)!r}: {error.strerror}") from error
        write_record(place / "run.json", record)
        return RunStore(place)

    def get(self, run: Run) -> Float[np.ndarray, " t"] | None:
        """The outputs of this run, or None where it is not finished."""
        saved = _read(self._path(run), "the run is made again")
        return None if saved is None else saved["outputs"]

    def add(self, runs: Sequence[Run], outputs: Float[np.ndarray, "k t"]) -> None:
        """Keep finished runs; raises `LlmattrError` where that cannot be done.

        Runs that were trained together are kept together: their rounding depends on their company, which would not be the same
        again where a kill left some of them.
        """
        files = {}
        for run, found in zip(runs, outputs, strict=True):
            path = self._path(run)
            try:
                path.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise LlmattrError(f"cannot keep a finished run in {str(self.folder)!r}: {error.strerror}") from error
            files[path] = arrays_as_bytes(mask=np.packbits(run.mask), n=len(run.mask), seed=run.seed, outputs=found)
        write_together(files)

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("??/*.npz"))

    def runs(self) -> Iterator[tuple[Run, Float[np.ndarray, " t"]]]:
        """Every finished run with its outputs, in the order of their keys."""
        for path in sorted(self.folder.glob("??/*.npz")):
            if (saved := _read(path, "the run is left out")) is not None:
                mask = np.unpackbits(saved["mask"], count=int(saved["n"])).astype(bool)
                yield Run(mask, int(saved["seed"])), saved["outputs"]

    def _path(self, run: Run) -> Path:
        return self.folder / run.key[:2] / f"{run.key}.npz"


def _read(path: Path, otherwise: str) -> dict[str, np.ndarray] | None:
    try:
        return read_arrays(path)
    except FileNotFoundError:
        return None
    except LlmattrError as error:
        note(f"{error}: {otherwise}")
        return None
