"""The files of an index: its run.json, room for its numbers, who may write them, and whether a byte of them was changed."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llmattr.core.files import read_record, write_record
from llmattr.errors import LlmattrError, note

VERSION = 4
RUN = "run.json"
CHECKED = "checked"
COARSE = 20_000_000  # nanoseconds: a file's time may be that far behind


def read_run(folder: Path) -> dict[str, Any]:
    """The run.json of an index; raises `LlmattrError` where there is none, one of another version, or a damaged one."""
    path = folder / RUN
    try:
        version = json.loads(path.read_bytes())["version"]
        if version == VERSION:
            return read_record(path)
    except OSError:
        raise LlmattrError(f"{str(folder)!r} is no index: make one with `llmattr trace index --out {folder}`") from None
    except (ValueError, KeyError, TypeError):  # LlmattrError is a ValueError: the digest is wrong
        raise damaged(folder, f"{RUN} is not what was written") from None
    raise LlmattrError(f"the index {str(folder)!r} has version {version}, this llmattr reads {VERSION}: build it again")


def save_run(folder: Path, run: dict[str, Any]) -> None:
    """Write the run.json with its digest."""
    write_record(folder / RUN, run)


def damaged(folder: Path, what: str) -> LlmattrError:
    """The error of an index that cannot be trusted, and what is wrong with it."""
    return LlmattrError(f"the index {str(folder)!r} is damaged: {what}; remove the folder and build it anew")


def checksums(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of each of these files that is there; `mark_checked` says when they were made."""
    return {name: _sha256(folder / name) for name in names if (folder / name).exists()}


def check_bytes(folder: Path, sums: Mapping[str, str]) -> None:
    """Raise `LlmattrError` with the name of a file that is missing or whose bytes have not this checksum.

    A file that was not changed since it was last compared is not read again: the time of the empty file `checked` says so.
    """
    started, marker = time.time_ns() - COARSE, folder / CHECKED
    since = marker.stat().st_mtime_ns if marker.exists() else 0
    since = 0 if since > time.time_ns() else since  # a clock that was wrong says nothing
    checked = [_check(folder, name, known) for name, known in sums.items() if _changed(folder, name) >= since]
    if checked:
        mark_checked(folder, started)


def mark_checked(folder: Path, started: int) -> None:
    """Remember that the files have their checksums, compared from this time on; not in a folder that may only be read."""
    with suppress(OSError):
        (folder / CHECKED).touch()
        os.utime(folder / CHECKED, ns=(started, started))


def after_writing() -> int:
    """A time in nanoseconds after those of all files that were written so far and before those of all that will be."""
    time.sleep(COARSE / 1e9)
    return time.time_ns() - COARSE


def _changed(folder: Path, name: str) -> int:
    """When the file was last written, moved or copied here, in nanoseconds."""
    try:
        found = (folder / name).stat()
    except OSError as error:
        raise damaged(folder, f"{name} cannot be read ({error.strerror})") from error
    return max(found.st_mtime_ns, found.st_ctime_ns)


def _check(folder: Path, name: str, known: str) -> None:
    try:
        found = _sha256(folder / name)
    except OSError as error:
        raise damaged(folder, f"{name} cannot be read ({error.strerror})") from error
    if found != known:
        raise damaged(folder, f"{name} is not what was written")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reserve(path: Path, size: int) -> None:
    """Bring a file to its size with room on the disk for all of it: a memory map has no way to say that there is none."""
    with path.open("ab") as file:
        try:
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
        except OSError as error:
            raise LlmattrError(f"no room for the {size / 2**20:.1f} MB of {str(path)!r}: {error.strerror}") from error


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Make the folder and have it for one build. The system frees the lock of a process that was killed.

    Raises `LlmattrError` where another process builds in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise LlmattrError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error
    try:
        _lock(folder, held)
        try:
            yield
        finally:
            with suppress(OSError):  # it is removed where nothing came into it
                folder.rmdir()
    finally:
        os.close(held)


def _lock(folder: Path, held: int) -> None:
    import fcntl

    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = os.path.samestat(os.fstat(held), folder.stat())  # not removed meanwhile by the one who had it
    except (BlockingIOError, FileNotFoundError):
        free = False
    except OSError as error:
        note(f"{str(folder)!r} cannot be locked ({error.strerror}): let only one process build in it")
        return
    if not free:
        raise LlmattrError(f"{str(folder)!r} is being built by another process: wait for it, or give another --out")
