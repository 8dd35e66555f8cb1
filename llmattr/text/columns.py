"""Rows whose columns have other names, or are made of several."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmattr.errors import LlmattrError

Columns = Mapping[str, str]

KINDS = {"messages": "messages", "prompt": "prompt", "completion": "prompt", "text": "text"}  # the kind of row that each is of
NAMES = (*KINDS, "tools")
_NAME = re.compile(r"\{([^{}]+)\}")


def parse_columns(text: str) -> dict[str, str]:
    r"""What `--columns` says; `\n` is a line break.

    >>> parse_columns(r"prompt={question}, please\n,completion=answer")
    {'prompt': '{question}, please\n', 'completion': 'answer'}
    """
    pairs = [part.partition("=") for part in re.split(rf",(?=(?:{'|'.join(NAMES)})=)", text)]
    if any(name not in NAMES or not value for name, _, value in pairs):
        raise LlmattrError(f"columns are like prompt=question,completion=answer (of {', '.join(NAMES)}), not {text!r}")
    return {name: value.replace("\\n", "\n") for name, _, value in pairs}


def named(columns: Columns) -> Callable[..., dict[str, Any]]:
    """From a row (and what it is called) to one with these columns, each made of a column, or of a text with columns in braces.

    Those that are named alone go, and so do those of rows of other kinds; the others stay. Raises `LlmattrError` for a
    column that is not there.

    >>> named({"prompt": "Q: {question} ", "completion": "answer"})({"question": "Is it?", "answer": "No.", "text": "?"})
    {'prompt': 'Q: Is it? ', 'completion': 'No.', 'question': 'Is it?'}
    """
    if strange := [name for name in columns if name not in NAMES]:
        raise LlmattrError(f"columns are made for {', '.join(NAMES)}, not for {strange[0]!r}")
    kinds = {KINDS[name] for name in columns if name in KINDS}
    gone = {name for name, kind in KINDS.items() if kinds and kind not in kinds} | set(columns.values())

    def made(row: Mapping[str, Any], called: str = "") -> dict[str, Any]:
        if missing := [name for name in made_of(columns) if name not in row]:
            of = f"{called}: " if called else ""
            raise LlmattrError(f"{of}there is no column {missing[0]!r} (--columns), but {', '.join(row)}")
        new = {name: _filled(value, row) if "{" in value else row[value] for name, value in columns.items()}
        return new | {name: row[name] for name in row if name not in gone | new.keys()}

    return made


def group_names(rows: Sequence[Mapping[str, Any]], column: str, numbers: Sequence[int | str] | None = None) -> list[str]:
    """What each row has in the column that rows are grouped by; raises `LlmattrError` for one that has nothing there.

    `numbers`: what the rows are called, 0, 1 ... without them.
    """
    for number, row in zip(range(len(rows)) if numbers is None else numbers, rows, strict=True):
        if row.get(column) in (None, "") or row[column] != row[column]:  # NaN, as tables have it
            raise LlmattrError(f"row {number} has nothing in the column {column!r} that the rows are grouped by")
    return [str(row[column]) for row in rows]


def own_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """What else is known of a row than what it says: its source, say, or its licence."""
    return {name: value for name, value in row.items() if name not in NAMES and value is not None}


def made_of(columns: Columns) -> list[str]:
    """The columns that these are made of."""
    return [name for value in columns.values() for name in (_NAME.findall(value) if "{" in value else [value])]


def _filled(text: str, row: Mapping[str, Any]) -> str:
    return _NAME.sub(lambda name: "" if row[name[1]] is None else str(row[name[1]]), text)
