"""Training rows and queries from where people have them: files, saved folders, hub sets, and Python's own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.text.columns import Columns, made_of, named
from llmattr.text.forms import plain_row
from llmattr.text.readers import read_files_as_rows
from llmattr.text.row_files import Rows, csv_file, json_file, json_lines

Data = str | Path | Iterable[Any]
Queries = str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]

ENDINGS = {".jsonl": json_lines, ".json": json_file, ".csv": csv_file, ".tsv": csv_file}


def open_rows(data: Data, split: str | None = None, columns: Columns | None = None) -> Sequence[dict[str, Any]]:
    """The rows of a JSON-lines, JSON, CSV or parquet file, a folder saved by `datasets`, a hub id, a Dataset, or of dicts.

    Nothing is guessed: a cell of a CSV is text, and so is a string of JSON. Rows of files and sets stay there until they are
    asked for. `split`: of a set that has several (of a hub's `train` without it; a hub id may name a configuration:
    `owner/name:main`). `columns`: what each of `messages`, `prompt`, `completion`, `text` and `tools` is made of (`named`).
    Chats in other forms become OpenAI's (`plain_row`). Raises `LlmattrError` for what cannot be read.

    >>> open_rows([{"question": "Is it?", "answer": "No."}], columns={"prompt": "question", "completion": "answer"})
    [{'prompt': 'Is it?', 'completion': 'No.'}]
    """
    given = _opened(data, split)
    if not given:
        raise LlmattrError(f"the data {str(data)[:80]!r} has no rows")
    made = named(columns) if columns else dict
    made(given[0])  # a column that is missing is missing everywhere
    if isinstance(given, Rows):
        return Rows(len(given), lambda start, stop: [plain_row(made(row)) for row in given.read(start, stop)])
    return [plain_row(made(row)) for row in given]


def read_rows(data: Data, split: str | None = None, columns: Columns | None = None) -> list[dict[str, Any]]:
    """The same, read at once."""
    return list(open_rows(data, split, columns))


def read_queries(queries: Queries, split: str | None = None, columns: Columns | None = None) -> list[dict[str, Any]]:
    """The same of queries: one row may stand alone, and they need not have the training rows' columns."""
    if isinstance(queries, str) and not Path(queries).exists():
        raise LlmattrError(
            f"{queries!r:.60} is no file; one query alone is a prompt with its completion (--prompt and --completion, or "
            "{'prompt': ..., 'completion': ...} in Python)"
        )
    rows = read_rows([queries] if isinstance(queries, Mapping) else queries, split)
    if not columns or not all(name in rows[0] for name in made_of(columns)):
        return rows
    return [plain_row(row) for row in map(named(columns), rows)]


def _opened(data: Data, split: str | None) -> Sequence[dict[str, Any]]:
    """The rows where they are, as they are."""
    found: Any = _found(data, split) if isinstance(data, (str, Path)) else data
    if not isinstance(found, (list, tuple, Rows)):
        import datasets

        if isinstance(found, datasets.DatasetDict):
            found, split = _of_split(found, data, split), None
        found = _of_dataset(found) if isinstance(found, datasets.Dataset) else found
    if split is not None:
        raise LlmattrError(f"{str(data)[:80]!r} has no splits: leave out --split {split}")
    try:
        return found if isinstance(found, Rows) else [dict(row) for row in found]
    except (TypeError, ValueError):
        raise LlmattrError(f"rows must be dicts like {{'prompt': ..., 'completion': ...}}, not {data!r:.60}") from None


def _found(data: str | Path, split: str | None) -> Any:
    if (texts := read_files_as_rows(data)) is not None:
        return texts
    path, name = Path(data), str(data)
    known = path.suffix in ENDINGS or path.suffix == ".parquet"
    if path.is_file() and not known:
        raise LlmattrError(f"{name!r} must end in {', '.join(ENDINGS)} or .parquet")
    if not path.exists() and known:
        raise LlmattrError(f"there is no file {name!r}")
    try:
        if path.is_file() and path.suffix in ENDINGS:
            return ENDINGS[path.suffix](path)
        return _set(path, name, split or "train")
    except Exception as error:  # datasets raises what its many readers raise
        reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
        raise LlmattrError(f"cannot read the data {name!r}: {reason}") from error


def _set(path: Path, name: str, split: str) -> Any:
    import datasets

    if path.is_dir():
        return datasets.load_from_disk(name)
    if path.is_file():
        return datasets.load_dataset("parquet", data_files=name, split="train")
    hub, _, configuration = name.partition(":")
    return datasets.DatasetDict({split: datasets.load_dataset(hub, configuration or None, split=split)})


def _of_split(found: Mapping[Any, Any], data: Data, split: str | None) -> Any:
    """The split that is asked for, or the only one."""
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    if split is not None and split in found:
        return found[split]
    wanted = f"no {split!r}" if split else "say which (--split)"
    name = repr(str(data)) if isinstance(data, (str, Path)) else "the data"
    raise LlmattrError(f"{name} has the splits {', '.join(found)}: {wanted}")


def _of_dataset(found: Any) -> Rows:
    def read(start: int, stop: int) -> list[dict[str, Any]]:
        block = found[start:stop]
        return [{name: _written(block[name][k]) for name in block} for k in range(stop - start)]

    return Rows(len(found), read)


def _written(value: object) -> Any:
    """Without the keys that a part of a row has only because a part of another row has them: a table's are all alike."""
    if isinstance(value, dict):
        return {key: _written(part) for key, part in value.items() if part is not None or key == "content"}
    return [_written(part) for part in value] if isinstance(value, list) else value
