"""Which files a name stands for: one, all of a folder, or those that a pattern matches."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from llmattr.errors import LlmattrError, note

MOST_FILES = 10_000


def path_of(name: object) -> str:
    """The path that is given, as text. Raises `LlmattrError` for what is none."""
    if not isinstance(name, (str, os.PathLike)):
        raise LlmattrError(f"a file is given by its path, not by {name!r:.60}")
    return os.fsdecode(name)


def shown(name: str | os.PathLike[str]) -> str:
    """A file's name as people read it."""
    return os.fsencode(name).decode("utf-8", "replace")


def exists(name: str | os.PathLike[str]) -> bool:
    """Whether there is a file or folder of this name, which is not empty: that is a variable of the shell that was never set.

    Raises `LlmattrError` where the system does not let us see.
    """
    try:
        return name != "" and Path(name).exists()
    except ValueError:  # a NUL in it
        return False
    except OSError as error:
        if isinstance(error, PermissionError):
            raise LlmattrError(f"cannot read {shown(name)!r}: {error.strerror}") from None
        return False  # a text that is longer than any name


def is_pattern(name: str) -> bool:
    """Whether it is no file's name but has `*`, `?` or `[` in it."""
    return glob.has_magic(name) and not exists(name)


def matches(name: str) -> list[Path]:
    """What stands under this name, else the files that it matches as a pattern, in order."""
    return [Path(name)] if exists(name) else _in_order(name, [])


def find_files(name: str) -> list[Path]:
    """The files, each once and in order; hidden ones of folders and patterns are left out, as are folders that links lead to.

    What is closed to the user is left out with a note. Raises `LlmattrError` where there is none, or too many.
    """
    if not (is_pattern(name) or exists(name)):
        raise LlmattrError(f"{shown(name)!r} does not exist")
    if not is_pattern(name) and not _is(Path(name).is_dir):
        return [Path(name)]
    closed: list[str] = []
    found = _in_order(name, closed)
    if not found:
        kind = "no file matches the pattern" if is_pattern(name) else "there is no file in the folder"
        raise LlmattrError(
            f"cannot read the folder {closed[0]!r}: it is closed to you" if closed else f"{kind} {shown(name)!r}"
        )
    if len(found) > MOST_FILES:
        raise LlmattrError(f"{shown(name)!r} has more than {MOST_FILES:,} files: name a part of them")
    if closed:
        more = ", ..." if closed[3:] else ""
        note(f"folders of {shown(name)!r} that are closed to you are left out: {', '.join(map(repr, closed[:3]))}{more}")
    return found


def _in_order(name: str, closed: list[str]) -> list[Path]:
    """The files of a folder, or that a pattern matches, by the shortest of the names that each has; no more than are taken."""
    parts = Path(name).parts
    plain = (
        len(parts) if _is(Path(name).is_dir) else next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    )
    wanted = parts[plain:] or ("**", "*")
    found = islice(_inside(Path(*parts[:plain]), wanted, closed), MOST_FILES + 1)
    once = {path.resolve(): path for path in sorted(found, key=lambda path: (len(path.parts), path), reverse=True)}
    return sorted(once.values())


def _inside(folder: Path, wanted: Sequence[str], closed: list[str]) -> Iterator[Path]:
    """The files below a folder whose path from there is of these parts; `**` is any number of folders, but no link to one."""
    part, *rest = wanted
    if part == "**":
        yield from _inside(folder, rest or ["*"], closed)
    for path in _entries(folder, closed):
        hidden = path.name.startswith(".") and not part.startswith(".")
        if hidden or not (part == "**" or fnmatch(path.name, part)):
            continue
        if part == "**":
            if _is(path.is_dir) and not path.is_symlink():
                yield from _inside(path, wanted, closed)
        elif not rest:
            yield from [path] if _is(path.is_file) else []
        elif _is(path.is_dir):
            yield from _inside(path, rest, closed)


def _entries(folder: Path, closed: list[str]) -> list[Path]:
    """What a folder has in it; one that cannot be read is written down, once."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # or a name that none can have
        return []
    except OSError:
        closed += [shown(folder)] if shown(folder) not in closed else []
        return []


def _is(kind: Callable[[], bool]) -> bool:
    """Whether a path is of a kind, as far as it may be looked at; pipes and links to nowhere are of none."""
    with suppress(OSError):
        return kind()
    return False
