"""Rows that stand in one object: by their splits, under a name, or by columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.text.checked import COLUMNS
from llmattr.text.forms import is_chat, is_turn

UNDER = ("data", "rows", "examples", "records", "instances")  # beside what is said of them, such as a version
_SAID = ("conversations", *(name for columns in COLUMNS for name in columns))


def rows_inside(given: Mapping[Any, Any]) -> Mapping[str, Any] | list[dict[str, Any]]:
    """The splits of an object that holds tables by their names, or its rows: those of its columns, or itself, the only one.

    >>> rows_inside({"text": ["a", "b"]}), rows_inside({"text": "a"})
    ([{'text': 'a'}, {'text': 'b'}], [{'text': 'a'}])
    >>> rows_inside({"version": 2, "data": [{"text": "a"}]})
    {'data': [{'text': 'a'}]}
    """
    if any(isinstance(given.get(name), str) or _is_talk(given.get(name)) for name in _SAID):
        return [dict(given)]
    tables = {str(name): value for name, value in given.items() if _is_table(value)}
    if tables and all(str(name) in tables or value == [] for name, value in given.items()):
        return {str(name): value for name, value in given.items()}
    return {name: value for name, value in tables.items() if name in UNDER} or _by_columns(given) or [dict(given)]


def which_split(splits: Iterable[Any], called: str, split: str | None) -> Any:
    """The split that is asked for, or the only one; raises `LlmattrError` where there is none such."""
    names = list(splits)
    if split is None and len(names) == 1:
        return names[0]
    if split is not None and split in names:
        return split
    wanted = f"no {split!r}" if split else "say which (--split)"
    raise LlmattrError(f"{called} has the splits {', '.join(map(str, names))}: {wanted}")


def _is_table(value: object) -> bool:
    """Whether it is a list of rows, or what a library has instead; a chat is a list of turns."""
    if isinstance(value, (list, tuple)):
        return is_chat(value) and not _is_talk(value)
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _is_talk(value: object) -> bool:
    return is_chat(value) and all(is_turn(turn) for turn in value)


def _by_columns(given: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """The rows of columns that are lists of one length, or numbered as pandas writes them; none where it is no such thing."""
    cells = [_cells(value) for value in given.values()]
    if not cells or len({len(column) for column in cells}) > 1:
        return []
    return [dict(zip(map(str, given), row, strict=True)) for row in zip(*cells, strict=True)]


def _cells(value: object) -> Sequence[Any]:
    if isinstance(value, Mapping) and all(str(key).isdigit() for key in value):
        return list(value.values())
    return value if isinstance(value, (list, tuple)) and not _is_talk(value) else ()
