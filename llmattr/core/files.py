"""Files that are written whole or not at all, by any number of processes at once, and that say when they are damaged."""

import hashlib
import io
import json
import os
import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from llmattr.core.plain_json import json_text, plain
from llmattr.errors import LlmattrError

DIGEST = "digest"  # the field of a record that holds the digest of the others
SHA256 = 32  # bytes
PATIENCE = 30.0  # seconds for which one waits for another's turn in a folder


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name of one's own to write under: `NAME.HOST.PID.THREAD.part`, which becomes `path` at the end of the block.

    Whoever reads `path` sees the old file or the new one; where the block raises, the old one stays. A link is followed, and
    what is no plain file (a pipe, a device) is written to directly.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        yield place
        return
    part = part_of(place)
    try:
        yield part
        _flush(part)
        part.replace(place)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # else a machine that stops may keep the new name without its bytes


def part_of(path: Path) -> Path:
    """The name under which this thread of this process writes what becomes `path`."""
    own = f"{platform.node()}.{os.getpid()}.{threading.get_ident()}"
    return path.with_name(f"{path.name[:40]}.{own}.part")  # names have 255 bytes at most


def write(path: Path, content: str | bytes) -> Path:
    """Write a file whole or not at all, text as UTF-8; return its path. Raises `LlmattrError` where that cannot be done."""
    try:
        with whole(path) as part:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise LlmattrError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return path


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, each whole or not at all, which get their names in one moment: a kill hardly ever parts them."""
    try:
        with ExitStack() as named:
            for path, content in contents.items():
                part = named.enter_context(whole(path))
                part.write_bytes(content)
                _flush(part)
    except OSError as error:
        raise LlmattrError(f"cannot write {str(next(iter(contents)))!r}: {error.strerror}") from error


def digest(record: object) -> str:
    """SHA-256 of a record as canonical JSON: the same for equal records, also for one that was written and read again."""
    return hashlib.sha256(json.dumps(plain(record), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_record(path: Path, record: dict[str, Any]) -> Path:
    """Write a record as JSON with its digest; `read_record` reads it."""
    return write(path, json_text({**record, DIGEST: digest(record)}) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """The record without its digest; raises `LlmattrError` where a byte of it was changed, FileNotFoundError without one."""
    data = _read(path)
    try:
        record = json.loads(data)
        said = record.pop(DIGEST)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        said = record = None
    if record is None or said != digest(record):
        raise LlmattrError(f"{str(path)!r} is damaged: its contents are not what was written")
    return record


def write_arrays(path: Path, **arrays: np.ndarray | int | float) -> Path:
    """Write arrays as .npz; `read_arrays` reads them."""
    return write(path, arrays_as_bytes(**arrays))


def arrays_as_bytes(**arrays: np.ndarray | int | float) -> bytes:
    """Arrays as .npz, with the digest of its bytes as the archive's comment."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]: none of them is named like its option
    data = file.getvalue()  # ends with the length of its comment: 0 in two bytes
    return data[:-2] + SHA256.to_bytes(2, "little") + hashlib.sha256(data).digest()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name; raises `LlmattrError` where a byte of the file was changed, FileNotFoundError without one."""
    data = _read(path)
    body, length, said = data[: -SHA256 - 2], data[-SHA256 - 2 : -SHA256], data[-SHA256:]
    # Before anything is parsed: what is damaged leads the readers of zip and npy anywhere.
    if length != SHA256.to_bytes(2, "little") or hashlib.sha256(body + bytes(2)).digest() != said:
        raise LlmattrError(f"{str(path)!r} is damaged: its contents are not what was written")
    with np.load(io.BytesIO(data), allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror}") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process or thread at a time in this folder. The system frees the lock of a process that was killed.

    Raises OSError where the folder cannot be written, or another does not leave it (one that was halted: Ctrl-Z).
    """
    from filelock import FileLock

    with FileLock(folder / ".lock", timeout=PATIENCE, mode=0o666):
        yield
