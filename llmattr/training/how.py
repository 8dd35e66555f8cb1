"""How an index is asked, and what cannot be asked so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmattr.core.method import describe
from llmattr.errors import LlmattrError, check_number
from llmattr.text.columns import NAMES, group_names
from llmattr.text.questions import has_other, has_span
from llmattr.training.chance import FEWEST, FOREIGN
from llmattr.training.contract import (
    IndexMethod,
    QuotingMethod,
    Stepwise,
    StreamMethod,
    TextMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
)
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.influence import Stream

AT_ONCE = 2**26  # scores of texts that are held together: 512 MB
Rows = Sequence[Mapping[str, Any]]

EXACT = {
    "grad-dot": Stream("dot"),
    "grad-cos": Stream("cosine"),
}  # methods whose scores can be computed again with whole gradients


@dataclass(frozen=True)
class How:
    """Each token by itself, the best again, which rows, as faiss proposes, by groups, foreign ones: options of `query`."""

    tokens: bool = False
    rerank: int = 0
    rows: Sequence[int] | None = None
    approximate: bool = False
    group_by: str | None = None
    foreign: int | None = None

    def foreign_questions(self, method: TrainingMethod, n: int, questions: Rows) -> int:
        """How many of n rows are asked for p-values; where nothing is said only what costs no pass of the model."""
        if self.foreign is not None:
            return self.foreign
        if self._alone(questions) or not isinstance(method, IndexMethod | TextMethod) or isinstance(method, Stepwise):
            return 0
        many = FOREIGN if isinstance(method, IndexMethod) else min(FOREIGN, AT_ONCE // n)
        return many if min(many, n) >= FEWEST else 0

    def _alone(self, questions: Rows) -> str:
        """What is asked and cannot be compared with what rows as questions get."""
        asked = {"--tokens": self.tokens, "--rerank": self.rerank, "--approximate": self.approximate, "rows": self.rows}
        asked["--rather-than"] = any(map(has_other, questions))
        return next((name for name, value in asked.items() if value), "")

    def check(self, method: TrainingMethod, index: GradientIndex, questions: Rows) -> None:
        """Raise `LlmattrError` for what does not go together."""
        self._check_rows(method, index)
        self._check_questions(method, questions)
        if self.foreign:
            self._check_foreign(method, questions)
        if self.rerank and method.name not in EXACT:
            raise LlmattrError(f"rerank scores {' and '.join(EXACT)} again, not {method.name}: ask an index of ekfac or stream")
        if self.group_by is not None and isinstance(method, QuotingMethod):
            raise LlmattrError(f"{method.name} finds words in rows, of which there are no shares: leave out --group-by")
        if self.group_by is not None:
            if self.group_by in NAMES:
                raise LlmattrError(f"--group-by takes a column that says whose a row is, not what it says ({self.group_by!r})")
            group_names(index.rows([0]), self.group_by)
            if self.rerank or self.approximate:
                instead = "leave out --rerank and --approximate"
                raise LlmattrError(f"shares (--group-by) need the score of every row, for the median: {instead}")

    def _check_foreign(self, method: TrainingMethod, questions: Rows) -> None:
        """The null."""
        check_number("foreign", self.foreign, FEWEST, whole=True)
        if isinstance(method, QuotingMethod):
            raise LlmattrError(f"{method.name} says itself what chance gives: leave out foreign questions (--foreign)")
        if alone := self._alone(questions):
            raise LlmattrError(f"foreign questions (--foreign) are whole ones, asked of all rows: leave them out, or {alone}")

    def _check_rows(self, method: TrainingMethod, index: GradientIndex) -> None:
        """Which rows are scored."""
        if self.approximate and describe(method) != index.run["method"]:
            raise LlmattrError(f"faiss proposes rows by the method that an index was built with, not by {method.name}")
        if self.approximate and not (isinstance(method, IndexMethod) and index.run.get("checkpoints", 1) == 1):
            raise LlmattrError("approximate search is for the index of one checkpoint, of a method that keeps rows")
        if self.rows is not None and not isinstance(method, StreamMethod | UnrolledMethod | WholeMethod):
            raise LlmattrError(f"{method.name} scores every row of its index: rows are chosen for methods without one (ekfac)")
        if self.rows is not None and not all(0 <= row < len(index) for row in self.rows):
            raise LlmattrError(f"rows are numbered from 0 to {len(index) - 1}")

    def _check_questions(self, method: TrainingMethod, questions: Rows) -> None:
        """What of an answer is asked about."""
        others = any(map(has_other, questions))
        if self.tokens and method.family != "predictive":
            raise LlmattrError(f"{method.name} compares whole rows: it has no score of a token (--tokens)")
        if method.family != "predictive" and any(map(has_span, questions)):
            raise LlmattrError(f"{method.name} compares whole rows: it has no score of a part of an answer (--span)")
        if isinstance(method, TextMethod | QuotingMethod) and others:
            raise LlmattrError(f"{method.name} compares texts, of which it takes none off another: leave out --rather-than")
        if self.tokens and others:
            raise LlmattrError("another answer (--rather-than) has other tokens: ask about the whole, without --tokens")
