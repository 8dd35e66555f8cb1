"""Questions to a finished index: scores of its rows, from one or several checkpoints, as an attribution."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from llmattr.core.attribution import Attribution
from llmattr.core.files import digest
from llmattr.core.method import describe
from llmattr.core.versions import versions
from llmattr.errors import LlmattrError, check_number
from llmattr.model.contract import fingerprint_in
from llmattr.retrieval.verbatim import QUOTES, Quoted
from llmattr.text.questions import asks_in_a_chat, in_form, whole
from llmattr.text.reading import Queries, read_queries
from llmattr.training.chance import LOOKED, Foreign
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.chosen import method_at_question, saved_method
from llmattr.training.contract import IndexMethod, ModelMethod, QuotingMethod, Stepwise, TextMethod, TrainingMethod
from llmattr.training.direction import MEANING as MEANING_OF_DIRECTIONS
from llmattr.training.direction import checked_directions
from llmattr.training.found import Found, Said, as_attribution
from llmattr.training.how import EXACT, How, Rows
from llmattr.training.index.search import Top, combined
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods import METHODS
from llmattr.training.shares import above_median, shares
from llmattr.training.texts import compared, quoted, rarities, told

if TYPE_CHECKING:
    from llmattr.training.asked import Asked


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

    @property
    def asks_model(self) -> bool:
        """Whether it is a model's: of texts alone (`verbatim`) any model's answers may be looked for."""
        return fingerprint_in(self.index.run) is not None

    @property
    def quotes(self) -> bool:
        """Whether it tells what stands in its rows word for word."""
        return isinstance(self.chosen(None), QuotingMethod)

    @property
    def asks_spans(self) -> bool:
        """Whether it can be asked about a part of an answer: what compares whole texts cannot."""
        return self.chosen(None).family == "predictive"

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
        foreign: int | None = None,
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
        (`shares`). `foreign`: so many rows are asked, too, for the scores' p-values (`chance`); by default 199 of methods that
        need no pass of the model for that, else none.

        Returns values [t, k], highest first, positive = the row made the completion likelier; the sources are the rows that
        were returned. Raises `LlmattrError` for queries that cannot be read and for options that the method does not have.
        """
        if top is not None:
            check_number("top", top, 1, whole=True)
        started = time.perf_counter()
        method = self.chosen(method)
        given = read_queries(queries) if isinstance(method, TextMethod) else self._in_form(read_queries(queries))
        how = How(tokens, rerank, rows, approximate, group_by, foreign)
        how.check(method, self.index, given)
        if isinstance(method, QuotingMethod):
            return self._quoted(method, given, top or len(self), started)
        foreign = how.foreign_questions(method, len(self), given)
        wanted = len(self) if group_by else max(top or len(self), rerank, LOOKED if foreign else 0)
        best, said = self._compared(method, given, wanted, how)
        if rerank:
            again = np.unique(best.result()[1]).tolist()
            best, _ = self._search(EXACT[method.name], given, top or len(self), replace(how, rows=again, approximate=False))
        found = Found(*best.result())
        if foreign:
            found = found._replace(p_values=self._foreign(method, foreign).p_values(best, said.texts))
        run = {"seconds": {"query": time.perf_counter() - started}, "rerank": rerank}
        if group_by is None:
            return as_attribution(self.index, method, found.ends(top), said, run)
        supporting = found._replace(values=above_median(found.values))
        return shares(lambda k: as_attribution(self.index, method, supporting.first(k), said, run), group_by, top or len(self))

    def quoted(self, texts: Sequence[str]) -> list[Quoted]:
        """What of each text stands word for word in the rows; raises `LlmattrError` for an index that does not tell it."""
        method = self.chosen(None)
        if not isinstance(method, QuotingMethod):
            raise LlmattrError(f"an index of {method.name} finds no words again: make one with `llmattr trace index verbatim`")
        return quoted(method, self.index, texts)

    def _quoted(self, method: QuotingMethod, given: Rows, top: int, started: float) -> Attribution:
        """The rows that spans of each answer stand in, best first, with the spans; no model is asked."""
        said = Said.of(given)
        found = quoted(method, self.index, said.texts)
        best = Top(len(said.texts), top)
        best.add(np.arange(len(self)), rarities(found, len(self)))
        run = {"seconds": {"query": time.perf_counter() - started}}
        result = as_attribution(self.index, method, Found(*best.result()), said, run)
        return replace(result, details={QUOTES: told(result, found)})

    def chosen(self, asked: str | type | TrainingMethod | None) -> TrainingMethod:
        """The method that is asked for, or the index's own."""
        return method_at_question(self.method or saved_method(self.index.run["method"]), asked)

    def _in_form(self, given: Rows) -> Rows:
        """The queries as the rows are: of an index of chats as chats; as they are, where no model reads them."""
        if not self.asks_model:
            return given
        form = self.index.rows([0])[0]
        if not asks_in_a_chat(form) or all(map(asks_in_a_chat, given)):
            return given
        tokenizer = self.checkpoints[0].load().tokenizer
        return [in_form(row, form, tokenizer) for row in given]

    def _compared(self, method: ModelMethod | TextMethod, given: Rows, top: int, how: How) -> tuple[Top, Said]:
        """The best and worst `top` rows of each target, and what the targets are."""
        if isinstance(method, TextMethod):
            return compared(method, self.index, given, top), Said.of(given)
        best, asked = self._search(method, given, top, how)
        if not how.tokens:
            asked.note_few()
        return best, asked.said()

    def _search(self, method: ModelMethod, given: Rows, top: int, how: How) -> "tuple[Top, Asked]":
        """The best and worst `top` rows of each target by the models' passes, and the targets."""
        from llmattr.training.searching import search  # torch comes with it, and texts are compared without

        return search(method, self.checkpoints, given, top, how)

    def _foreign(self, method: ModelMethod | TextMethod, many: int) -> Foreign:
        """So many rows as questions; what they score is kept, unless the method is one's own, whose code may change."""
        record = {
            "method": describe(method),
            "n": len(self),
            "many": many,
            "of": len(self.checkpoints),
            "by": versions()["llmattr"],
        }
        kept = self.index.folder / f"null.{digest(record)}.npz" if isinstance(method, tuple(METHODS.values())) else None
        return Foreign(self.index, many, lambda rows: self._asked_back(method, rows), kept)

    def _asked_back(self, method: ModelMethod | TextMethod, rows: Int[np.ndarray, " r"]) -> Top:
        """The best rows for these rows of the index as questions: for what is stored of them, where that is what is asked."""
        if not isinstance(method, IndexMethod) or isinstance(method, Stepwise):
            return self._compared(method, [whole(row) for row in self.index.rows(rows)], LOOKED, How())[0]
        parts = [part.products(method, part.index.stored(rows)) for part in self.checkpoints]
        return Top(len(rows), LOOKED).over(combined(parts))

    def along(self, direction: object, top: int | None = 10, *, layer: int | None = None) -> Attribution:
        """Training rows by the cosine of their mean hidden state with a direction [d], or with each of several [t, d].

        A direction is a probe's, a feature's of a sparse autoencoder, a steering vector; the index is one of hidden states
        (rep-sim), of the `layer` that the direction is of, where that is said. What points against the direction comes last.
        Raises `LlmattrError` for another index, and for what is no direction of its layer.
        """
        checkpoint, *more = self.checkpoints
        if more:
            raise LlmattrError(f"a direction is of one model, and the index has {1 + len(more)} checkpoints: build one of each")
        states = checkpoint.load().model.config.get_text_config().num_hidden_layers + 1
        method, asked = checked_directions(self.index, self.chosen(None), states, direction, layer)
        best = Top(len(asked), top or len(self)).over(combined([checkpoint.products(method, asked)]))
        names = ["the direction"] if len(asked) == 1 else [f"direction {t}" for t in range(len(asked))]
        found = as_attribution(self.index, method, Found(*best.result()), Said(names, queries=[]), {})
        return replace(found, meaning=MEANING_OF_DIRECTIONS)

    def self_influence(self, top: int | None = None, method: str | type | TrainingMethod | None = None) -> Attribution:
        """Every training row's score for itself: the highest are unusual, hard or mislabelled rows, which the model memorised.

        One target, "the row itself"; needs a method on an index of gradients, or stream or ekfac. `method`: another than the
        index was built with, as for `query`.
        """
        from llmattr.training.searching import self_scores

        method = self.chosen(method)
        scores = combined([self_scores(checkpoint, method) for checkpoint in self.checkpoints])
        best = Top(1, top or len(self)).over(scores)
        return as_attribution(self.index, method, Found(*best.result()), Said(["the row itself"], queries=[]), {})
