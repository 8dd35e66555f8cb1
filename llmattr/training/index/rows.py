"""The training rows of an index: JSON in a parquet file, of which only those that are wanted are read."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from llmattr.core.files import whole
from llmattr.training.index.files import damaged

ROWS = "rows.parquet"
GROUP = 1024  # rows that are read together where one of them is wanted


def count_rows(folder: Path) -> int:
    """How many rows are there; 0 where there is no file."""
    if not (folder / ROWS).exists():
        return 0
    with _opened(folder) as file:
        return file.metadata.num_rows


def add_rows(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows behind those that are there: all of them or none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("row", pa.string())])
    with whole(folder / ROWS) as part, pq.ParquetWriter(part, schema) as file:
        for texts in _groups(folder) if (folder / ROWS).exists() else ():
            file.write_table(pa.table({"row": texts}, schema))
        for start in range(0, len(rows), GROUP):
            texts = [json.dumps(row, ensure_ascii=False, default=str) for row in rows[start : start + GROUP]]
            file.write_table(pa.table({"row": texts}, schema))


def read_rows(folder: Path, numbers: Int[np.ndarray, " k"] | Sequence[int] | None = None) -> list[dict[str, Any]]:
    """These rows, in this order; all where none are named."""
    if numbers is None:
        return list(each_row(folder))
    found: dict[int, dict[str, Any]] = {}
    with _opened(folder) as file:
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        places = np.searchsorted(ends, numbers, side="right")
        for group in np.unique(places):
            texts = file.read_row_group(group, use_threads=False)["row"]
            wanted = {int(row) for row, place in zip(numbers, places, strict=True) if place == group}
            found |= {row: json.loads(texts[row - int(ends[group])].as_py()) for row in wanted}  # counted from its end
    return [found[int(row)] for row in numbers]


def each_row(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows, of which a group at a time is in memory."""
    return (json.loads(text) for texts in _groups(folder) for text in texts)


def _groups(folder: Path) -> Iterator[list[str]]:
    """The rows' JSON, a group at a time."""
    with _opened(folder) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, use_threads=False)["row"].to_pylist()


@contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(folder / ROWS) as file:
            yield file
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise damaged(folder, f"{ROWS} cannot be read") from error
