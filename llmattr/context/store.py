"""What was scored, kept by mask: in memory, and in a file so that a run that was killed, or asks for more, goes on."""

import hashlib
import json
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.errors import LlmattrError, note
from llmattr.processes import is_main, of_main

EVERY = 2.0  # seconds between two writes of the file, at least


class Store:
    """Token log-probabilities of a response [r] for each mask [n] that was scored.

    `path`: a file (.npz) to go on from and to write to, whole or not at all; None keeps them in memory only.
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
        """Write the file, if there is one and something to add."""
        self._at = time.monotonic()
        if self.path is None or not is_main() or self._written == len(self.rows):
            return
        part = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            masks = np.stack([np.frombuffer(mask, dtype=bool) for mask in self.rows])
            with part.open("wb") as file:
                np.savez(file, masks=masks, logprobs=np.stack(list(self.rows.values())))
            part.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            note(f"cannot keep what was scored in {str(self.path)!r} ({error.strerror}): a run that is stopped starts again")
            self.path = None
        self._written = len(self.rows)


def _read(path: Path | None) -> dict[bytes, Float[np.ndarray, " r"]]:
    if path is None or not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as saved:
            masks, logprobs = saved["masks"], saved["logprobs"]
        return {mask.tobytes(): row for mask, row in zip(masks, logprobs, strict=True)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        note(f"{str(path)!r} is damaged: what was scored before is scored again")
        return {}


def store_path(folder: str | Path, *identity: Any) -> Path:
    """The file in the folder for what is identified by these: model, prompt and response."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise LlmattrError(f"the cache {str(folder)!r} is a file, not a folder")
    text = json.dumps(identity, default=str, sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
