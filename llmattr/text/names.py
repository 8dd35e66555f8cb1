"""Placeholder of this branch until the helper's module is merged."""

from collections.abc import Sequence
from typing import NamedTuple


class Name(NamedTuple):
    start: int
    end: int
    kind: str


def missing(text: str, sources: Sequence[str], known: str = "") -> list[Name]:
    return []
