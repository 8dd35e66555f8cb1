"""Sources that are several rows: which rows are one source, and from numbers of rows to numbers of sources."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.sources import Sources
from llmattr.text.columns import group_names
from llmattr.text.rows import row_text

Member = Int[np.ndarray, " rows"]  # each row's source


def sources_of(rows: Sequence[Mapping[str, Any]], group_by: str | None = None) -> tuple[Sources, Member]:
    """The sources of these rows, and each row's source: itself, or all rows that have the same in the column `group_by`."""
    if group_by is None:
        texts = [row_text(row) for row in rows]
        return Sources("training rows", [str(i) for i in range(len(rows))], texts), np.arange(len(rows))
    group_of = group_names(rows, group_by)
    names = list(dict.fromkeys(group_of))
    place = {name: number for number, name in enumerate(names)}
    member = np.array([place[name] for name in group_of])
    texts = ["\n".join(row_text(rows[i]) for i in part.tolist()) for part in rows_of(member, len(names))]
    return Sources(f"groups by {group_by}", names, texts), member


def rows_of(member: Member, n: int) -> list[Int[np.ndarray, " _"]]:
    """The rows of each of n sources, in their order.

    >>> [rows.tolist() for rows in rows_of(np.array([1, 0, 1]), 3)]
    [[1], [0, 2], []]
    """
    ends = np.bincount(member, minlength=n).cumsum()
    return np.split(np.argsort(member, kind="stable"), ends[:-1])


def summed(values: Float[np.ndarray, "*k rows"], member: Member, n: int) -> Float[np.ndarray, "*k n"]:
    """For each of n sources the sum over its rows.

    >>> summed(np.array([[1.0, 2.0, 4.0]]), np.array([1, 0, 1]), 3).tolist()
    [[2.0, 5.0, 0.0]]
    """
    sums = [np.bincount(member, row, n) for row in values.reshape(-1, len(member))]
    return np.reshape(sums, (*values.shape[:-1], n))
