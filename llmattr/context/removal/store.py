"""What was scored, kept by mask: in memory, and in a file so that a run that was killed, or asks for more, goes on."""

import os
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.files import alone, digest, read_arrays, write_arrays
from llmattr.core.processes import is_main, of_main
from llmattr.errors import LlmattrError, note

EVERY = 2.0  # seconds between two writes of the file, at least


class Store:
    """Token log-probabilities of a response [r] for each mask [n] that was scored.

    `path`: a file (.npz) to go on from and to add to, whole or not at all, by any number of processes at once; None keeps them
    in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: dict[bytes, Float[np.ndarray, " r"]] = of_main(_read(path))
        self.resumed = len(self.rows)  # that many were there before
        self._written, self._at = len(self.rows), time.monotonic()

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, mask: Bool[np.ndarray, " n"]) -> bool:
        return mask.tobytes() in self.rows

    def __getitem__(self, mask: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " r"]:
        return self.rows[mask.tobytes()]

    def add(self, mask: bytes, logprobs: Float[np.ndarray, " r"]) -> None:
        """Keep one more; now and then the file is written."""
        self.rows[mask] = logprobs
        if time.monotonic() - self._at > EVERY:
            self.save()

    def save(self) -> None:
        """Add to the file, if there is one and something to add."""
        self._at = time.monotonic()
        if self.path is None or not is_main() or self._written == len(self.rows):
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path.parent):  # else of two that add to what is there one would be lost
                rows = {**self.rows, **_read(self.path)}
                masks = np.stack([np.frombuffer(mask, dtype=bool) for mask in rows])
                write_arrays(self.path, masks=masks, logprobs=np.stack(list(rows.values())))
        except (OSError, LlmattrError) as error:
            note(f"cannot keep what was scored ({error}): a run that is stopped starts again")
            self.path = None
        self._written = len(self.rows)


def _read(path: Path | None) -> dict[bytes, Float[np.ndarray, " r"]]:
    if path is None:
        return {}
    try:
        saved = read_arrays(path)
    except FileNotFoundError:
        return {}
    except LlmattrError as error:
        note(f"{error}: what was scored before is scored again")
        return {}
    with suppress(OSError):
        os.utime(path)  # what was used last is removed last
    return {mask.tobytes(): row for mask, row in zip(saved["masks"], saved["logprobs"], strict=True)}


def store_path(folder: str | Path, *identity: object) -> Path:
    """The file in the folder for what is identified by these: model, prompt and response."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise LlmattrError(f"the cache {str(folder)!r} is a file, not a folder")
    return folder / f"{digest([version('llmattr'), identity])[:32]}.npz"  # another version may read a prompt in another way
