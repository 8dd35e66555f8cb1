"""Two results of the same command, compared number by number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmattr.cli.command import index_records
from llmattr.core.files import DIGEST, read_record
from llmattr.core.versions import PACKAGES
from llmattr.errors import LlmattrError

SPENT = ("seconds", "forward_passes", "resumed")  # what a run cost, which a clock, and what was kept before, decide
LEFT_OUT = {*SPENT, "command", "commands", DIGEST, *PACKAGES}  # at any depth: packages are compared before

KeyPath = tuple[str | int, ...]


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """In what two results, as JSON has them, are not the same: a line for each field, with its largest difference."""
    before, after = dict(_leaves(then)), dict(_leaves(now))
    fields: dict[str, list[tuple[Any, Any]]] = {}
    for place in before | after:
        fields.setdefault(_field(place), []).append((before.get(place), after.get(place)))
    found = {field: [pair for pair in pairs if pair[0] != pair[1]] for field, pairs in fields.items()}
    return [_line(field, apart, len(fields[field])) for field, apart in found.items() if apart]


def index_differences(then: Path, now: Path) -> list[str]:
    """In what two indexes are not the same: their records, with the checksums of all files, and how far rows are apart."""
    lines = differences(_records(then), _records(now))
    parts = [path.parent.relative_to(then) for path in index_records(then)] if lines else []
    return [*lines, *(line for part in parts for line in _rows_apart(then / part, now / part))]


def _records(folder: Path) -> dict[str, Any]:
    return {path.relative_to(folder).as_posix(): read_record(path) for path in index_records(folder)}


def _rows_apart(then: Path, now: Path) -> list[str]:
    """The largest difference between the rows of two indexes, where both have as many."""
    from llmattr.training.index.store import GradientIndex

    try:
        one, other = GradientIndex.open(then), GradientIndex.open(now)
    except LlmattrError:  # a record that only names the checkpoints
        return []
    if one.vectors.shape != other.vectors.shape or not one.vectors.size:
        return []
    blocks = zip(one.blocks(), other.blocks(), strict=True)
    apart, largest = np.array([(np.abs(a - b).max(), np.abs(a).max()) for (_, a), (_, b) in blocks]).max(axis=0)
    return [f"rows: by at most {apart:.3g}, where the largest number is {largest:.3g}"] if apart else []


def _leaves(value: object, place: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Everything that holds nothing else, with the keys and numbers that lead to it."""
    if isinstance(value, dict):
        parts = [(key, one) for key, one in value.items() if key not in LEFT_OUT]
    elif isinstance(value, list):
        parts = list(enumerate(value))
    else:
        parts = []
        yield place, value
    for key, one in parts:
        yield from _leaves(one, (*place, key))


def _field(place: KeyPath) -> str:
    """The field of a record, or of all records of a list: targets.values."""
    return ".".join(part for part in place if isinstance(part, str))


def _line(field: str, apart: list[tuple[Any, Any]], of: int) -> str:
    if all(isinstance(one, int | float) and not isinstance(one, bool) for pair in apart for one in pair):
        largest = max(abs(one - other) for one, other in apart)
        return f"{field}: {len(apart)} of {of} numbers, by at most {largest:.3g}"
    (one, other), more = apart[0], f", and {len(apart) - 1} more" if len(apart) > 1 else ""
    return f"{field}: {one!r:.60} then, {other!r:.60} now{more}"
