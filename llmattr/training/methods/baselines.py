"""Baselines, which every other method has to beat: chance, the longest row, and the most words in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from llmattr.core.method import option
from llmattr.retrieval.baselines import lengths, random_scores, word_shares
from llmattr.training.projection import Measure


@dataclass(frozen=True)
class Random:
    """Standard normal numbers, drawn from a number and the texts of query and row: a baseline.

    Cost: little
    """

    name: ClassVar[str] = "random"
    family: ClassVar[str] = "reference"
    unit: ClassVar[str] = "random numbers"
    measure: ClassVar[Measure] = "loss"
    draw: int = option(0, "another one gives other numbers", below=2**63)

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Numbers without a unit; the order of the rows plays no part, and equal rows have equal ones."""
        return random_scores(rows, queries, self.draw)


@dataclass(frozen=True)
class Length:
    """The number of characters of the row, whatever is asked: a baseline.

    Cost: little
    """

    name: ClassVar[str] = "length"
    family: ClassVar[str] = "reference"
    unit: ClassVar[str] = "characters"
    measure: ClassVar[Measure] = "loss"

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Characters, the same row for every query."""
        return lengths(rows, queries)


@dataclass(frozen=True)
class WordShare:
    """The share of the query's different words, prompt and completion, that the row has: a baseline.

    Cost: little
    """

    name: ClassVar[str] = "word-share"
    family: ClassVar[str] = "reference"
    unit: ClassVar[str] = "share of words"
    measure: ClassVar[Measure] = "loss"

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        """Scores from 0 to 1."""
        return word_shares(rows, queries)
