"""Rows of a file, of the files of a folder, or of those that a pattern matches: tables that hold them, or texts."""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from llmattr.errors import LlmattrError, note
from llmattr.text.readers import find_files, is_document, is_pattern, read_found
from llmattr.text.row_files import Rows, csv_file, json_file, json_lines, row_name
from llmattr.text.row_objects import which_split
from llmattr.text.row_sets import parquet_file

Table = Sequence[dict[str, Any]] | Mapping[str, Any]  # rows, or splits of them

ENDINGS: Mapping[str, Callable[[Path], Table]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_file,
    ".csv": csv_file,
    ".tsv": csv_file,
    ".parquet": parquet_file,
}
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|eval)(?![a-z])", re.I)  # as a hub's files and folders are named
_ABOUT = re.compile(r"(?:readme|licen[cs]e|notice|citation|changelog|dataset_infos?)\b", re.I)  # what tells of a set


def is_table(path: Path) -> bool:
    """Whether the ending of a file is one of those that hold rows."""
    return path.suffix.lower() in ENDINGS


def rows_of_files(name: str, split: str | None = None) -> Table:
    """The rows of these files, one after the other; a text is a row with its `text`, and its path as `id`.

    Of a folder whose files are all named by splits, as a hub's are, one split is read. Raises `LlmattrError` for files of which
    some hold rows and others are texts.
    """
    files = find_files(name)
    tables = [path for path in files if is_table(path) and not _ABOUT.match(path.name)]
    texts = [path for path in files if is_document(path) and not is_table(path)]
    if not tables and not texts:
        raise LlmattrError(f"{name!r} must end in {', '.join(ENDINGS)}" if len(files) == 1 else f"no file of {name!r} has rows")
    if not tables:
        return [{"text": document.text, "id": document.id} for document in read_found(files, name)]
    if mixed := [path for path in texts if not _ABOUT.match(path.name)]:
        raise LlmattrError(
            f"{name!r} has rows ({str(tables[0])!r}) and texts ({str(mixed[0])!r}): say which by a pattern, such as "
            f"'{tables[0].parent}/*{tables[0].suffix}'"
        )
    if other := [str(path) for path in files if path not in tables]:
        note(f"the rows of {name!r} are those of {len(tables)} of its files; left out: {', '.join(map(repr, other[:3]))}")
    splits = [] if is_pattern(name) or tables == [Path(name)] else [_split(path, name) for path in tables]
    if splits and all(splits):
        chosen = which_split(dict.fromkeys(splits), repr(name), split)
        return {chosen: _together([path for path, own in zip(tables, splits, strict=True) if own == chosen])}
    return _together(tables)


def _split(path: Path, folder: str) -> str | None:
    found = (_SPLIT.match(part) for part in path.relative_to(folder).parts)
    return next((split[1].lower() for split in found if split), None)


def _together(paths: Sequence[Path]) -> Table:
    """The rows of tables, one after the other; one table alone may have splits."""
    tables = [_read(path) for path in paths]
    if len(tables) == 1:
        return tables[0]
    parts: list[Sequence[dict[str, Any]]] = []
    for path, table in zip(paths, tables, strict=True):
        if isinstance(table, Mapping) and len(table) > 1:
            raise LlmattrError(f"{str(path)!r} has the splits {', '.join(table)}: give it alone, and say which (--split)")
        parts.append(next(iter(table.values())) if isinstance(table, Mapping) else table)
    ends = list(accumulate(map(len, parts)))

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        part = bisect_right(ends, start)
        while start + len(rows) < stop:
            before = ends[part] - len(parts[part])
            rows += parts[part][start + len(rows) - before : stop - before]
            part += 1
        return rows

    def name(row: int) -> str:
        part = bisect_right(ends, row)
        rows, own = parts[part], row - ends[part] + len(parts[part])
        return rows.name(own) if isinstance(rows, Rows) else row_name(paths[part], own)

    return Rows(ends[-1], read, name)


def _read(path: Path) -> Table:
    try:
        return ENDINGS[path.suffix.lower()](path)
    except LlmattrError:
        raise
    except Exception as error:  # pyarrow raises what it likes
        raise unread(str(path), error) from error


def unread(name: str, error: Exception) -> LlmattrError:
    """What to say of data that cannot be read, in one line."""
    reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
    return LlmattrError(f"cannot read the data {name!r}: {reason}")
