"""Parts of a look through rows that are kept once they are finished, so that one that was killed goes on."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmattr.context.removal.ablation import store_path
from llmattr.context.removal.cache import limit, shrink
from llmattr.core.files import read_arrays, write_arrays
from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError, note

BLOCK = 512  # rows that are computed together, and kept


@dataclass(frozen=True)
class Kept:
    """The parts of what `identity` names, in a folder (`llmattr cache` shows it); without a folder nothing is kept."""

    folder: Path | None
    identity: str

    def part(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """An array that was kept by this name, or else is made and kept."""
        path = store_path(self.folder, "curate", self.identity, name) if self.folder else None
        found = _read(path) if path else None
        if found is None:
            found = make()
            if path:
                _write(path, found)
        return found

    def blocks(self, name: str, n: int, make: Callable[[int, int], np.ndarray], what: str) -> np.ndarray:
        """The same of n rows, some of them after the other (`make(start, stop)`), each some by themselves."""
        parts = []
        with Progress(n, what, "rows") as bar:
            for start in range(0, n, BLOCK):
                stop = min(start + BLOCK, n)
                parts.append(self.part(f"{name} {start}", lambda start=start, stop=stop: make(start, stop)))
                bar.update(stop - start)
        return np.concatenate(parts)

    def tidy(self) -> None:
        """Remove what was not used for longest where the folder is larger than it may be."""
        if self.folder:
            with suppress(OSError):
                shrink(self.folder, limit())


def _read(path: Path) -> np.ndarray | None:
    try:
        found = read_arrays(path)["part"]
    except FileNotFoundError:
        return None
    except LlmattrError as error:
        note(f"{error}: it is made again")
        return None
    with suppress(OSError):
        os.utime(path)  # what was used last is removed last
    return found


def _write(path: Path, part: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, part=part)
    except (OSError, LlmattrError) as error:
        note(f"cannot keep what was found ({error}): a run that is stopped starts again")
