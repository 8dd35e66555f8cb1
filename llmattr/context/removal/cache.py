"""The folder in which scored ablations are kept: where it is, what is in it, and how large it may become."""

import math
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from llmattr.core.files import alone
from llmattr.errors import LlmattrError

PLACE, LIMIT = "LLMATTR_CACHE", "LLMATTR_CACHE_LIMIT"  # of the environment
GIGABYTES = 1.0
OURS = re.compile(r"[0-9a-f]{32}\.npz(\.(.+\.)?part)?")  # nothing else in the folder is ever touched


class CachedFile(NamedTuple):
    """A file: when it was last used, in seconds since 1970, where it is, and its bytes."""

    used: float
    path: Path
    bytes: int


def place() -> Path:
    """Where scored ablations are kept when no place is named: LLMATTR_CACHE, or the user's cache."""
    import platformdirs

    return Path(os.environ.get(PLACE) or platformdirs.user_cache_path("llmattr") / "ablations")


def limit() -> float:
    """The bytes that the folder may hold: LLMATTR_CACHE_LIMIT gigabytes, one without it; `inf` is no limit."""
    given = os.environ.get(LIMIT) or GIGABYTES
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = math.nan
    if not gigabytes >= 0:
        raise LlmattrError(f"{LIMIT} must be a number of gigabytes (0 or more, or inf), not {given!r}")
    return gigabytes * 1e9


def kept(folder: Path) -> list[CachedFile]:
    """The files of scored ablations, the one that was not used for longest first."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if OURS.fullmatch(path.name):
            with suppress(OSError):  # another process was sooner
                status = path.stat()
                found.append(CachedFile(status.st_mtime, path, status.st_size))
    return sorted(found)


def shrink(folder: Path, most: float) -> list[CachedFile]:
    """Remove what was not used for longest until no more bytes than `most` are left; return what was removed.

    Safe beside running processes: what they scored is in their memory, and what they add is written again. Raises OSError
    where the folder cannot be written.
    """
    if sum(one.bytes for one in kept(folder)) <= most:
        return []
    removed = []
    with alone(folder):  # so nobody is writing: parts are of processes that were killed
        files = kept(folder)
        left = sum(one.bytes for one in files)
        for one in sorted(files, key=lambda one: (one.path.suffix != ".part", one)):
            if left <= most:
                break
            one.path.unlink(missing_ok=True)
            removed.append(one)
            left -= one.bytes
    return removed
