"""Rows that `datasets` reads: parquet files, folders that it saved, and the sets of a hub."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmattr.text.readers.finding import exists
from llmattr.text.row_files import Rows, row_name

if TYPE_CHECKING:
    from datasets import Dataset

SAVED = ("dataset_info.json", "dataset_dict.json")  # what `datasets` writes into a folder


def is_saved(name: str) -> bool:
    """Whether it is a folder that `datasets` saved."""
    return any(exists(Path(name, one)) for one in SAVED)


def parquet_file(path: Path) -> Rows:
    """The rows of a parquet file."""
    import datasets
    from pyarrow import parquet

    parquet.read_schema(path)  # what is damaged is told in a line of ours, before datasets writes one
    rows = of_dataset(datasets.load_dataset("parquet", data_files=str(path), split="train"))
    return replace(rows, name=partial(row_name, path))


def saved_set(name: str) -> Any:
    """What a folder has that `datasets` saved: a set, or splits of one."""
    import datasets

    return datasets.load_from_disk(name)


def hub_set(name: str, split: str | None) -> Mapping[str, Any]:
    """A split of a hub's set, `train` without one; the name may say a configuration (`owner/name:main`)."""
    import datasets

    hub, _, configuration = name.partition(":")
    split = split or "train"
    return {split: datasets.load_dataset(hub, configuration or None, split=split)}


def of_dataset(found: "Dataset") -> Rows:
    """The rows of a set, which stay where they are."""

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        block = found[start:stop]
        return [{name: _written(block[name][k]) for name in block} for k in range(stop - start)]

    return Rows(len(found), read, "row {}".format)


def _written(value: object) -> Any:
    """Without the keys that a part of a row has only because a part of another row has them: a table's are all alike."""
    if isinstance(value, dict):
        return {key: _written(part) for key, part in value.items() if part is not None or key == "content"}
    return [_written(part) for part in value] if isinstance(value, list) else value
