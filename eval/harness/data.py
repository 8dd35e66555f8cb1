"""The public sets that benchmarks read: of what they consist (data.toml), where they are kept, whether they are as published.

They are kept in the user's cache folder, or in the folder that LLMATTR_EVAL_DATA names; `python -m eval data` puts them there.
"""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from llmattr.core import files as written
from llmattr.errors import LlmattrError, did_you_mean

PLACE = "LLMATTR_EVAL_DATA"  # names another folder than the cache
TABLE = Path(__file__).with_suffix(".toml")
CHECKED = ".checked.json"  # beside the files of a set: those whose checksum was right
State = tuple[int, int, str]  # a file's size, its time in nanoseconds, its checksum


@dataclass(frozen=True)
class File:
    """A file of a set: its name in the set's folder, its path in the repository, its bytes, its SHA-256 or how that begins."""

    name: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PublicSet:
    """Files of a public repository at a commit. `parts`: what benchmarks call a file of it."""

    name: str
    what: str
    licence: str
    repository: str
    commit: str
    files: tuple[File, ...]
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> Path:
        """Where its files are kept."""
        return Path(os.environ.get(PLACE) or platformdirs.user_cache_path("llmattr") / "eval" / "data") / self.name


@cache
def sets() -> dict[str, PublicSet]:
    """Every set by its name."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: public_set(name, entry) for name, entry in table.items()}


def public_set(name: str, entry: Mapping[str, Any]) -> PublicSet:
    """A set from its entry in data.toml."""
    said = {key: value for key, value in entry.items() if key not in ("files", "folders")}
    alone = [_file(*line) for line in entry["files"]]
    together = [file for folder in entry.get("folders", ()) for file in _folder(**folder)]
    return PublicSet(name=name, files=(*alone, *together), **said)


def _file(path: str, size: int, sha256: str, name: str | None = None) -> File:
    return File(name or path.rpartition("/")[2], path, size, sha256)


def _folder(path: str, name: str, files: str) -> Iterator[File]:
    for line in files.split(","):
        one, size, sha256 = line.split()
        yield File(name.replace("*", one), path.replace("*", one), int(size), sha256)


def find(name: str) -> PublicSet:
    """The set of this name, or the one of which it is a part; raises `LlmattrError` where there is none."""
    known = sets() | {part: one for one in sets().values() for part in one.parts}
    if name not in known:
        raise LlmattrError(f"there is no set {name!r}{did_you_mean(name, known)} (there are: {', '.join(known)})")
    return known[name]


def wrong(one: PublicSet) -> dict[File, str]:
    """The files of the set that are not as published: "missing", or the checksum that was found instead."""
    found = states(one)
    return {file: state[-1] if state else "missing" for file, state in found.items() if not _right(file, state)}


def remember(one: PublicSet) -> None:
    """Write down, beside the files, the size, time and checksum of those that are as published: they need not be read again.

    Only who puts files into a folder writes there; a folder that is merely read stays as it is.
    """
    right = {file.name: state for file, state in states(one).items() if _right(file, state)}
    written.write_record(one.folder / CHECKED, right)


def states(one: PublicSet) -> dict[File, State | None]:
    """How each file of the set is here; None for one that is missing."""
    known = _remembered(one.folder)
    return {file: _state(one.folder / file.name, known.get(file.name)) for file in one.files}


def _right(file: File, state: State | None) -> bool:
    return state is not None and state[-1].startswith(file.sha256)


def _state(path: Path, known: State | None) -> State | None:
    """As it is known, where size and time are still the same."""
    if not path.is_file():
        return None
    now = path.stat()
    stamp = (now.st_size, now.st_mtime_ns)
    return known if known and known[:2] == stamp else (*stamp, sha256(path, *stamp))


@cache
def sha256(path: Path, size: int, changed: int) -> str:
    """The checksum of a file of this size and time: in one process it is computed once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered(folder: Path) -> dict[str, State]:
    try:
        return {name: (size, time, sha) for name, (size, time, sha) in written.read_record(folder / CHECKED).items()}
    except (FileNotFoundError, LlmattrError):
        return {}


def files(name: str) -> Path:
    """The folder with the files of a set, which are as published; raises `LlmattrError` where they are not, or not here."""
    one = find(name)
    bad = wrong(one)
    if altered := [file.name for file, state in bad.items() if state != "missing"]:
        raise LlmattrError(f"the set {name} is here, but {altered[0]} is not as published: python -m eval data {name}")
    if bad:
        raise LlmattrError(f"the set {name} is not here: python -m eval data {name}")
    return one.folder


def part(name: str) -> Path:
    """The file that benchmarks call by this name (hotpotqa, qed ...); raises `LlmattrError` as `files` does."""
    return files(name) / find(name).parts[name]


def digest(name: str) -> str:
    """16 characters that stand for what the set, or the part of one, consists of: for keys of what is measured on it."""
    one = find(name)
    meant = [file for file in one.files if file.name == one.parts.get(name, file.name)]
    return written.digest({file.name: file.sha256[:16] for file in meant})[:16]
