"""Finished runs on disk: what a model said that was trained on one mask with one seed. No run is made twice."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from llmattr.errors import LlmattrError, note
from llmattr.plain_json import json_text
from llmattr.saved import write


class Run(NamedTuple):
    """One model: which sources it was trained on, and with which seed."""

    mask: Bool[np.ndarray, " n"]
    seed: int

    @property
    def key(self) -> str:
        """What it is found by."""
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
        text = json.dumps(record, sort_keys=True, default=str)
        place = folder / hashlib.sha256(text.encode()).hexdigest()[:12]
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LlmattrError(f"cannot keep runs in {str(folder)!r}: {error.strerror}") from error
        write(place / "run.json", json_text(record) + "\n")
        return RunStore(place)

    def get(self, run: Run) -> Float[np.ndarray, " t"] | None:
        """The outputs of this run, or None where it is not finished."""
        path = self._path(run)
        saved = _read(path) if path.exists() else None
        return None if saved is None else saved["outputs"]

    def add(self, run: Run, outputs: Float[np.ndarray, " t"]) -> None:
        """Keep a finished run."""
        path = self._path(run)
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f"{path.name}.{os.uname().nodename}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                np.savez(file, mask=np.packbits(run.mask), n=len(run.mask), seed=run.seed, outputs=outputs)
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise LlmattrError(f"cannot keep a finished run in {str(self.folder)!r}: {error.strerror}") from error

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("??/*.npz"))

    def runs(self) -> Iterator[tuple[Run, Float[np.ndarray, " t"]]]:
        """Every finished run with its outputs, in the order of their keys."""
        for path in sorted(self.folder.glob("??/*.npz")):
            if (saved := _read(path)) is not None:
                mask = np.unpackbits(saved["mask"], count=int(saved["n"])).astype(bool)
                yield Run(mask, int(saved["seed"])), saved["outputs"]

    def _path(self, run: Run) -> Path:
        return self.folder / run.key[:2] / f"{run.key}.npz"


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in ("mask", "n", "seed", "outputs")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        note(f"{str(path)!r} is damaged: the run is made again")
        return None
