"""Training rows and queries from where people have them: files, saved folders, hub sets, and Python's own."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.text.checked import check_row
from llmattr.text.columns import Columns, made_of, named
from llmattr.text.forms import Frame, drawn, plain_row, rows_of_frame, shown
from llmattr.text.readers.finding import exists, is_pattern, matches
from llmattr.text.row_files import Rows, row_name
from llmattr.text.row_folders import is_table, rows_of_files, unread
from llmattr.text.row_objects import rows_inside, which_split
from llmattr.text.row_sets import hub_set, is_saved, of_dataset, saved_set

Data = str | Path | Iterable[Any]
Queries = str | Path | Mapping[str, Any] | Iterable[Any]

MOST = 1_000_000  # rows that are taken from what is read at once, such as a generator
FORM = "{'prompt': ..., 'completion': ...}"


def open_rows(data: Data, split: str | None = None, columns: Columns | None = None) -> Rows | list[dict[str, Any]]:
    """The rows of files (JSON lines, JSON, CSV, parquet; texts), of a hub id, a Dataset, a data frame, or of dicts.

    A file, a folder with all below it, or a pattern (`rows_of_files`); a folder saved by `datasets`; or one object with rows in
    it (`rows_inside`). Nothing is guessed: a cell of a CSV is text, and so is a string of JSON. Rows of files and sets stay
    there until they are asked for. `split`: of what has several (of a hub's `train` without it; a hub id may name a
    configuration: `owner/name:main`). `columns`: what each of `messages`, `prompt`, `completion`, `text` and `tools` is made of
    (`named`). Chats in other forms become OpenAI's (`plain_row`). Raises `LlmattrError` for what cannot be read.

    >>> open_rows([{"question": "Is it?", "answer": "No."}], columns={"prompt": "question", "completion": "answer"})
    [{'prompt': 'Is it?', 'completion': 'No.'}]
    """
    given = _opened(data, split)
    if not given:
        raise LlmattrError(f"the data {str(data)[:80]!r} has no rows")
    made = named(columns or {})
    of_list = partial(row_name, data) if isinstance(data, (str, Path)) else "row {}".format
    name = given.name if isinstance(given, Rows) else of_list

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        rows = [plain_row(made(row, name(number))) for number, row in enumerate(given[start:stop], start)]
        for number, row in enumerate(rows, start):
            check_row(row, name(number))
        return rows

    read(0, 1)  # a column that is missing is missing everywhere
    return Rows(len(given), read, name) if isinstance(given, Rows) else read(0, len(given))


def read_rows(data: Data, split: str | None = None, columns: Columns | None = None) -> list[dict[str, Any]]:
    """The same, read at once."""
    return list(open_rows(data, split, columns))


def read_queries(queries: Queries, split: str | None = None, columns: Columns | None = None) -> list[dict[str, Any]]:
    """The same of queries: one row may stand alone, and they need not have the training rows' columns."""
    if isinstance(queries, str) and not matches(queries):  # a question mark does not make a pattern
        raise LlmattrError(
            f"{queries!r:.60} is no file; one query alone is a prompt with its completion (--prompt and --completion, or "
            "{'prompt': ..., 'completion': ...} in Python)"
        )
    rows = read_rows(queries, split)
    if not columns or not all(name in rows[0] for name in made_of(columns)):
        return rows
    made = named(columns)
    return [plain_row(made(row)) for row in rows]


def _opened(data: Data, split: str | None) -> Rows | list[dict[str, Any]]:
    """The rows where they are, as they are."""
    found = _found(data, split) if isinstance(data, (str, Path)) else data
    found = rows_inside(found) if isinstance(found, Mapping) else found
    if isinstance(found, Mapping):
        found, split = found[which_split(found, _called(data), split)], None
    if split is not None:
        raise LlmattrError(f"{_called(data)} has no splits: leave out --split {split}")
    return _as_rows(found, data)


def _found(data: str | Path, split: str | None) -> Any:
    """What a file, a folder, a pattern or a hub id has: rows, or splits of them."""
    name = str(data)
    saved = is_saved(name)
    if not saved and (exists(name) or is_pattern(name)):
        return rows_of_files(name, split)
    if not saved and is_table(Path(name)):
        raise LlmattrError(f"there is no file {name!r}")
    try:
        return saved_set(name) if saved else hub_set(name, split)
    except Exception as error:  # datasets raises what its many readers raise
        raise unread(name, error) from error


def _as_rows(found: Any, data: Data) -> Rows | list[dict[str, Any]]:
    if isinstance(found, Rows):
        return found
    if isinstance(found, Frame):
        return rows_of_frame(found)
    if not isinstance(found, (list, tuple)):
        import datasets

        if isinstance(found, datasets.Dataset):
            return of_dataset(found)
    if not isinstance(found, Iterable):
        raise LlmattrError(f"rows must be dicts like {FORM}, not {shown(found)}")
    return [_as_row(row, number) for number, row in enumerate(drawn(found, _called(data), "rows", MOST))]


def _as_row(given: Any, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    with suppress(Exception):  # what someone else's code raises
        row = dict(given)
    if not row:
        raise LlmattrError(f"rows must be dicts like {FORM}; row {number} is {shown(given)}")
    return row


def _called(data: Data) -> str:
    return repr(str(data)) if isinstance(data, (str, Path)) else "the data"
