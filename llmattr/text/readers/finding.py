"""Which files a name stands for: one, all of a folder, or those that a pattern matches."""

import glob
import os
from contextlib import suppress
from pathlib import Path

from llmattr.errors import LlmattrError

MOST_FILES = 10_000


def shown(name: str | os.PathLike[str]) -> str:
    """A file's name as people read it."""
    return os.fsencode(name).decode("utf-8", "replace")


def is_pattern(name: str) -> bool:
    """Whether it is no file's name but has `*`, `?` or `[` in it."""
    return glob.has_magic(name) and not Path(name).exists()


def matches(name: str) -> list[Path]:
    """What stands under this name, else the files that it matches as a pattern, in order."""
    if Path(name).exists():
        return [Path(name)]
    return sorted(path for match in glob.glob(name, recursive=True) if _is_file(path := Path(match)))  # noqa: PTH207


def _is_file(path: Path) -> bool:
    """Whether it is one that may be looked at; pipes and links to nowhere are none."""
    with suppress(OSError):
        return path.is_file()
    return False


def find_files(name: str) -> list[Path]:
    """The files, in order; hidden ones of folders and patterns are left out. Raises `LlmattrError` where there is none."""
    if is_pattern(name):
        found = matches(name)
    elif Path(name).is_dir():
        found = _inside(Path(name))
    elif Path(name).exists():
        return [Path(name)]
    else:
        raise LlmattrError(f"{shown(name)!r} does not exist")
    if not found:
        kind = "no file matches the pattern" if is_pattern(name) else "there is no file in the folder"
        raise LlmattrError(f"{kind} {shown(name)!r}")
    if len(found) > MOST_FILES:
        raise LlmattrError(f"{shown(name)!r} has more than {MOST_FILES:,} files: name a part of them")
    return found


def _inside(folder: Path) -> list[Path]:
    found: list[Path] = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        found += [path for one in names if not one.startswith(".") and _is_file(path := Path(at, one))]
        if len(found) > MOST_FILES:
            break
    return sorted(found)
