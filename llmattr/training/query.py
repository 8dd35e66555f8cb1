"""Questions to a finished index: scores of its rows, from one or several checkpoints, as an attribution."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError, check_number
from llmattr.model.contract import fingerprint_in
from llmattr.retrieval.baselines import MEANING
from llmattr.text.columns import group_names, own_columns
from llmattr.text.questions import asks_in_a_chat, has_other, has_span, in_form
from llmattr.text.reading import Queries, read_queries
from llmattr.text.rows import row_text
from llmattr.training.asked import Asked, Said
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.chosen import method_at_question, saved_method
from llmattr.training.contract import (
    IndexMethod,
    StreamMethod,
    TextMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
)
from llmattr.training.index.search import Top, combined, gathered
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.influence import Stream
from llmattr.training.shares import LOOKED, above_median, shares
from llmattr.training.unrolled import unrolled

Rows = Sequence[Mapping[str, Any]]

EXACT = {
    "grad-dot": Stream("dot"),
    "grad-cos": Stream("cosine"),
}  # methods whose scores can be computed again with whole gradients
OF_THE_INDEX = ("method", "layers", "groups", "checksums", "commands")  # what its record has and a result's has not


@dataclass(frozen=True, eq=False)
class TraceIndex:
    """A finished index with its model, ready for questions; of several checkpoints the scores are added.

    `method`: what it was built with, so that one of your own answers too; None: the one of `METHODS` that run.json names.
    """

    checkpoints: Sequence[Checkpoint]
    method: TrainingMethod | None = None

    @property
    def index(self) -> GradientIndex:
        """The (first) checkpoint's index."""
        return self.checkpoints[0].index

    def __len__(self) -> int:
        return len(self.index)

    def query(
        self,
        queries: Queries,
        top: int | None = 10,
        *,
        tokens: bool = False,
        rerank: int = 0,
        rows: Sequence[int] | None = None,
        approximate: bool = False,
        method: str | type | TrainingMethod | None = None,
        group_by: str | None = None,
    ) -> Attribution:
        """Scores of the training rows that support each query most and of those that oppose it most (`top` of each).

        `queries`: rows like the training data (`prompt` + `completion`, `text`, `messages`), or a file of them; with a `span`
        only the part of the answer that it is, with `rather_than` what taught the answer and not that other one (by the
        gradient of the difference of their losses). Where rows are chats, a prompt and its completion become one. `tokens`:
        every counted token is a target of its own; their scores add up to the query's where the method is linear. A note says
        where a few tokens carry the most of a loss. `rerank`: so many of grad-dot's or grad-cos' best and worst rows are scored
        again with whole gradients. `rows`: score only these, for methods without an index. `approximate`: of an index score
        only the rows that faiss proposes. `method`: another than the index was built with, where its rows allow that.
        `group_by`: a column of the rows, of whose groups the shares of the support of the `top` best rows are returned instead
        (`shares`).

        Returns values [t, k], highest first, positive = the row made the completion likelier; the sources are the rows that
        were returned. Raises `LlmattrError` for queries that cannot be read and for options that the method does not have.
        """
        if top is not None:
            check_number("top", top, 1, whole=True)
        started = time.perf_counter()
        method = self._chosen(method)
        given = self._in_form(read_queries(queries))
        self._check(method, tokens, rerank, rows, approximate)
        _check_questions(method, given, tokens)
        if group_by is not None:
            self._check_groups(group_by, rerank, approximate)
        wide = len(self) if group_by else max(top or len(self), rerank)
        best, asked = self._search(method, given, wide, tokens=tokens, rows=rows, approximate=approximate)
        if not tokens:
            asked.note_few()
        if rerank:
            again = np.unique(best.result()[1]).tolist()
            best, _ = self._search(EXACT[method.name], given, top or len(self), tokens=tokens, rows=again)
        values, found = best.result()
        run = {"seconds": {"query": time.perf_counter() - started}, "rerank": rerank}
        if group_by is not None:
            many = top or len(self)
            looked = slice(LOOKED * many)
            best_rows = self._attribution(method, above_median(values)[:, looked], found[:, looked], asked.said(), run)
            return shares(best_rows, group_by, many)
        if top is not None:
            values, found = _ends(values, top), _ends(found, top)
        return self._attribution(method, values, found, asked.said(), run)

    def _chosen(self, asked: str | type | TrainingMethod | None) -> TrainingMethod:
        """The method that is asked for, or the index's own."""
        return method_at_question(self.method or saved_method(self.index.run["method"]), asked)

    def _in_form(self, given: Rows) -> Rows:
        """The queries as the rows are: of an index of chats as chats."""
        form = self.index.rows([0])[0]
        if not asks_in_a_chat(form) or all(map(asks_in_a_chat, given)):
            return given
        tokenizer = self.checkpoints[0].load().tokenizer
        return [in_form(row, form, tokenizer) for row in given]

    def _check_groups(self, column: str, rerank: int, approximate: bool) -> None:
        """Raise `LlmattrError` where shares cannot be had."""
        group_names(self.index.rows([0]), column)
        if rerank or approximate:
            raise LlmattrError(
                "shares (--group-by) need the score of every row, for the median: leave out --rerank and --approximate"
            )

    def _check(self, method: TrainingMethod, tokens: bool, rerank: int, rows: Sequence[int] | None, approximate: bool) -> None:
        if approximate and describe(method) != self.index.run["method"]:
            raise LlmattrError(f"faiss proposes rows by the method that an index was built with, not by {method.name}")
        if approximate and not (isinstance(method, IndexMethod) and len(self.checkpoints) == 1):
            raise LlmattrError("approximate search is for the index of one checkpoint, of a method that keeps rows")
        if tokens and method.family != "predictive":
            raise LlmattrError(f"{method.name} compares whole rows: it has no score of a token (--tokens)")
        if rerank and method.name not in EXACT:
            raise LlmattrError(f"rerank scores {' and '.join(EXACT)} again, not {method.name}: ask an index of ekfac or stream")
        if rows is not None and not isinstance(method, StreamMethod | UnrolledMethod | WholeMethod):
            raise LlmattrError(f"{method.name} scores every row of its index: rows are chosen for methods without one (ekfac)")
        if rows is not None and not all(0 <= row < len(self) for row in rows):
            raise LlmattrError(f"rows are numbered from 0 to {len(self) - 1}")

    def _search(
        self,
        method: TrainingMethod,
        given: Rows,
        top: int,
        *,
        tokens: bool,
        rows: Sequence[int] | None,
        approximate: bool = False,
    ) -> tuple[Top, Asked]:
        """The best and worst `top` rows of each target, and the targets."""
        how = {"tokens": tokens, "weighed": method.family == "predictive"}
        if isinstance(method, UnrolledMethod):
            asked = Asked.of(self.checkpoints[-1].load(), given, self.index.run["loss"], **how)
            parts = unrolled(method, self.checkpoints, asked.examples, rows)
        else:
            parts, asked = [], None
            for checkpoint in self.checkpoints:
                lm = checkpoint.load()
                before, asked = asked, Asked.of(lm, given, checkpoint.index.run["loss"], **how)
                if before and len(before.examples) != len(asked.examples):
                    raise LlmattrError("the checkpoints cut the queries into tokens each in its way: ask without --tokens")
                scores = checkpoint.scores(method, lm, asked.examples, rows, top if approximate else 0)
                if len(self.checkpoints) > 1 and not isinstance(method, IndexMethod):  # one model runs at a time
                    scores = replace(scores, blocks=gathered(scores.blocks))
                parts.append(scores)
            assert asked is not None
        best = Top(len(asked.examples), top)
        for numbers, scores in combined(parts):
            best.add(numbers, scores)
        return best, asked

    def self_influence(self, top: int | None = None, method: str | type | TrainingMethod | None = None) -> Attribution:
        """Every training row's score for itself: the highest are unusual, hard or mislabelled rows, which the model memorised.

        One target, "the row itself"; needs a method on an index of gradients, or stream or ekfac. `method`: another than the
        index was built with, as for `query`.
        """
        method = self._chosen(method)
        best = Top(1, top or len(self))
        for numbers, scores in combined([checkpoint.self_scores(method) for checkpoint in self.checkpoints]):
            best.add(numbers, scores)
        return self._attribution(method, *best.result(), Said(["the row itself"], queries=[]), {})

    def _attribution(
        self,
        method: TrainingMethod,
        values: Float[np.ndarray, "t k"],
        found: Int[np.ndarray, "t k"],
        said: Said,
        run: Mapping[str, Any],
    ) -> Attribution:
        """Scores of the rows that were found, whose texts are the sources."""
        returned, index = np.unique(found, return_inverse=True)
        rows = self.index.rows(returned)
        sources = Sources("training rows", [str(i) for i in returned], [row_text(row) for row in rows])
        known = [own_columns(row) for row in rows]
        measure = method.measure if method.family == "predictive" else "similarity"
        run = {**self.index.run, **run}
        return Attribution(
            values=values,
            index=index.reshape(values.shape),
            sources=replace(sources, columns=known) if any(known) else sources,
            targets=Targets(said.texts, said.spans, measure=measure),
            unit=method.unit,
            method=describe(method),
            run={key: value for key, value in run.items() if key not in OF_THE_INDEX},
            response=said.response,
            traced=True,
            asked=said.queries or None,
            meaning=_meaning(method, said),
            model=fingerprint_in(self.index.run),
            details={"loss": said.losses} if said.losses else {},
        )


def _check_questions(method: TrainingMethod, given: Rows, tokens: bool) -> None:
    """Raise `LlmattrError` for questions that the method has no answer to."""
    if method.family != "predictive" and any(map(has_span, given)):
        raise LlmattrError(f"{method.name} compares whole rows: it has no score of a part of an answer (--span)")
    if isinstance(method, TextMethod) and any(map(has_other, given)):
        raise LlmattrError(f"{method.name} compares texts, of which it takes none off another: leave out --rather-than")
    if tokens and any(map(has_other, given)):
        raise LlmattrError("another answer (--rather-than) has other tokens: ask about the whole, without --tokens")


def _meaning(method: TrainingMethod, said: Said) -> str | None:
    """What a score says, where that is not the usual."""
    if method.family == "predictive" and any("rather_than" in query for query in said.queries):
        return "positive = the row made the completion likelier than the answer that it is set against"
    return MEANING if method.family == "reference" else None


def _ends(columns: np.ndarray, top: int) -> np.ndarray:
    """The first and last `top` columns."""
    return columns if columns.shape[1] <= 2 * top else np.concatenate([columns[:, :top], columns[:, -top:]], axis=1)
