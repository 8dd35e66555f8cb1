"""Does a row stand out? The p-value of each score, by what questions score by chance that no row answers.

The null is made of foreign questions: rows of the index, each asked as a question of the rows that do not have its answer. Of
question q, B_q are these rows, and `z_q,i = (s_q,i - mean of s_q over B_q) / deviation of s_q over B_q`. The p-value of a score
is the share of questions, itself among them, of which some row in B reaches it:

    p_q,i = (1 + #{foreign r: max over B_r of z_r >= z_q,i}) / (1 + #{foreign r})

The maximum is over all rows, so p is adjusted for their number (single-step maxT: Westfall and Young 1993): of questions that
are like the rows, and whose answer no row has, 1 in 20 gets p <= .05 for its best row (conformal: Vovk et al. 2005). A row that
answers a foreign question in words of its own raises the null: p then is too large, not too small. Where all rows that are
looked at have the answer, more may have it, and p is nan.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.files import read_arrays, write_arrays
from llmattr.core.seeded import generator
from llmattr.errors import LlmattrError
from llmattr.retrieval.answers import Telling
from llmattr.retrieval.bm25 import terms
from llmattr.text.rows import prompt_and_completion, row_text
from llmattr.training.index.search import Top
from llmattr.training.index.store import GradientIndex

FOREIGN = 199  # questions, so that a p-value is 0.005 at least
FEWEST = 19  # with fewer none can be 0.05
LOOKED = 64  # highest rows of a question that are looked at for its answer
ROUNDING = 1e-12  # of the highest score: a deviation below is none

Ask = Callable[[Int[np.ndarray, " r"]], Top]  # the best LOOKED rows, at least, for rows as questions


class Standard(NamedTuple):
    """What scores are by chance: the mean and deviation of each question's, over the rows that do not have its answer [t]."""

    mean: Float[np.ndarray, " t"]
    deviation: Float[np.ndarray, " t"]

    def of(self, values: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "t k"]:
        """The scores in deviations from the mean."""
        return (values - self.mean[:, None]) / self.deviation[:, None]


@dataclass(frozen=True, eq=False)
class Foreign:
    """So `many` rows of an index as questions, what finds the best rows for them, and the file that keeps what they score."""

    index: GradientIndex
    many: int
    ask: Ask
    kept: Path | None = None

    def p_values(self, best: Top, answers: Sequence[str]) -> Float[np.ndarray, "t k"] | None:
        """The p-value of each score of `best.result()`; None where too few rows can be asked."""
        n = len(self.index)
        chosen = np.sort(generator(0, "foreign questions").choice(n, min(self.many, n), replace=False))
        given = self.index.rows(chosen)
        told = Telling.of([row_text(row) for row in given])
        null = self._null(chosen, told, [prompt_and_completion(row)["completion"] for row in given])
        if len(null) < FEWEST:
            return None
        having = _having(self.index, told, best, answers)
        found = _standard(best, having).of(best.result()[0])
        p_values = (1 + len(null) - np.searchsorted(null, found)) / (1 + len(null))
        p_values[having.all(axis=1) & (best.rows > having.shape[1])] = np.nan
        return p_values

    def _null(self, chosen: Int[np.ndarray, " r"], told: Telling, answers: Sequence[str]) -> Float[np.ndarray, " r"]:
        """The highest score of each foreign question, in order: as it is kept, or computed and kept."""
        if self.kept is not None:
            with suppress(OSError, LlmattrError):  # there is none, or it is damaged
                return read_arrays(self.kept)["null"]
        best = self.ask(chosen)
        null = _highest(best, _having(self.index, told, best, answers))
        if self.kept is not None:
            with suppress(LlmattrError):  # an index that may only be read is asked all the same
                write_arrays(self.kept, null=null)
        return null


def _having(index: GradientIndex, told: Telling, best: Top, answers: Sequence[str]) -> Bool[np.ndarray, "t l"]:
    """Which of each question's highest rows have its answer."""
    found = best.result()[1][:, :LOOKED]
    numbers = np.unique(found)
    words = {int(number): set(terms(row_text(row))) for number, row in zip(numbers, index.rows(numbers), strict=True)}
    asked = [set(terms(answer)) for answer in answers]
    return np.array([[told.has(words[row], one) for row in rows] for rows, one in zip(found.tolist(), asked, strict=True)])


def _standard(best: Top, having: Bool[np.ndarray, "t l"]) -> Standard:
    """Over all rows but those; where all rows have the answer none stands out."""
    highest = best.result()[0][:, : having.shape[1]]
    gone = np.where(having, highest, 0.0)
    left = best.rows - having.sum(axis=1)
    mean = (best.sums - gone.sum(axis=1)) / np.maximum(left, 1)
    variance = (best.squares - np.square(gone).sum(axis=1)) / np.maximum(left, 1) - mean**2
    least = ROUNDING * np.abs(highest).max(axis=1, initial=0) + np.finfo(np.float64).tiny
    return Standard(mean, np.where(left > 0, np.maximum(np.sqrt(np.maximum(variance, 0)), least), np.inf))


def _highest(best: Top, having: Bool[np.ndarray, "t l"]) -> Float[np.ndarray, " r"]:
    """The highest score of a row that does not have the answer, for each question that such rows are there for, in order.

    Where all that are looked at have it, it is no higher than the last of these, which stands for it.
    """
    found = _standard(best, having).of(best.result()[0][:, : having.shape[1]])
    first = np.where(having.all(axis=1), having.shape[1] - 1, having.argmin(axis=1))
    left = having.sum(axis=1) < best.rows
    return np.sort(found[np.arange(len(found)), first][left])
