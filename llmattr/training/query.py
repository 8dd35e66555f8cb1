"""Questions to a finished index: scores of its rows, from one or several checkpoints, as an attribution."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError, check_number, note
from llmattr.model.contract import fingerprint_in
from llmattr.model.lm import LM
from llmattr.retrieval.baselines import MEANING
from llmattr.retrieval.verbatim import QUOTES, Quoted
from llmattr.text.reading import Queries, read_queries
from llmattr.text.rows import Examples, prompt_and_completion, row_text
from llmattr.text.tokens import Tokenizer, decode, decoded_offsets
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.contract import (
    IndexMethod,
    ModelMethod,
    QuotingMethod,
    StreamMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
    find_training_method,
)
from llmattr.training.index.search import Top, combined, gathered
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods import METHODS
from llmattr.training.methods.influence import Stream
from llmattr.training.quoting import quoted, rarities, told
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

    @property
    def asks_model(self) -> bool:
        """Whether it is a model's: of texts alone (`verbatim`) any model's answers may be looked for."""
        return fingerprint_in(self.index.run) is not None

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
    ) -> Attribution:
        """Scores of the training rows that support each query most and of those that oppose it most (`top` of each).

        `queries`: rows like the training data (`prompt` + `completion`, `text`, `messages`), or a file of them. `tokens`: every
        counted token is a target of its own; their scores add up to the query's where the method is linear. `rerank`: so many
        of grad-dot's or grad-cos' best and worst rows are scored again with whole gradients. `rows`: score only these, for
        methods without an index. `approximate`: of an index score only the rows that faiss proposes.

        Returns values [t, k], highest first, positive = the row made the completion likelier; the sources are the rows that
        were returned. Raises `LlmattrError` for queries that cannot be read and for options that the method does not have.
        """
        if top is not None:
            check_number("top", top, 1, whole=True)
        started = time.perf_counter()
        method = self.method or saved_method(self.index.run["method"])
        self._check(method, tokens, rerank, rows, approximate)
        given = read_queries(queries)
        if isinstance(method, QuotingMethod):
            return self._quoted(method, said_by(given), top or len(self), started)
        wide = max(top or len(self), rerank)
        best, asked = self._search(method, given, wide, tokens=tokens, rows=rows, approximate=approximate)
        if rerank:
            again = np.unique(best.result()[1]).tolist()
            best, asked = self._search(EXACT[method.name], given, top or len(self), tokens=tokens, rows=again)
        values, found = best.result()
        if top is not None:
            values, found = _ends(values, top), _ends(found, top)
        said = asked.said(given) if tokens else said_by(given)
        run = {"seconds": {"query": time.perf_counter() - started}, "rerank": rerank}
        return self._attribution(method, values, found, said, run)

    def quoted(self, texts: Sequence[str]) -> list[Quoted]:
        """What of each text stands word for word in the rows; raises `LlmattrError` for an index that does not tell it."""
        method = self.method or saved_method(self.index.run["method"])
        if not isinstance(method, QuotingMethod):
            raise LlmattrError(f"an index of {method.name} finds no words again: make one with `llmattr trace index verbatim`")
        return quoted(method, self.index, texts)

    def _quoted(self, method: QuotingMethod, said: "Said", top: int, started: float) -> Attribution:
        """The rows that spans of each answer stand in, best first, with the spans; no model is asked."""
        found = quoted(method, self.index, said.texts)
        best = Top(len(said.texts), top)
        best.add(np.arange(len(self)), rarities(found, len(self)))
        result = self._attribution(method, *best.result(), said, {"seconds": {"query": time.perf_counter() - started}})
        return replace(result, details={QUOTES: told(result, found)})

    def _check(self, method: TrainingMethod, tokens: bool, rerank: int, rows: Sequence[int] | None, approximate: bool) -> None:
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
        method: ModelMethod,
        given: Rows,
        top: int,
        *,
        tokens: bool,
        rows: Sequence[int] | None,
        approximate: bool = False,
    ) -> tuple[Top, "Asked"]:
        """The best and worst `top` rows of each target, and the targets."""
        if isinstance(method, UnrolledMethod):
            asked = _asked(self.checkpoints[-1], self.checkpoints[-1].load(), given, tokens)
            parts = unrolled(method, self.checkpoints, asked.examples, rows)
        else:
            parts, asked = [], None
            for checkpoint in self.checkpoints:
                lm = checkpoint.load()
                here = _asked(checkpoint, lm, given, tokens)
                asked = asked or here
                if len(here.examples) != len(asked.examples):
                    raise LlmattrError("the checkpoints cut the queries into tokens each in its way: ask without --tokens")
                scores = checkpoint.scores(method, lm, here.examples, rows, top if approximate else 0)
                if len(self.checkpoints) > 1 and not isinstance(method, IndexMethod):  # one model runs at a time
                    scores = replace(scores, blocks=gathered(scores.blocks))
                parts.append(scores)
            assert asked is not None
        best = Top(len(asked.examples), top)
        for numbers, scores in combined(parts):
            best.add(numbers, scores)
        return best, asked

    def self_influence(self, top: int | None = None) -> Attribution:
        """Every training row's score for itself: the highest are unusual, hard or mislabelled rows, which the model memorised.

        One target, "the row itself"; needs a method on an index of gradients, or stream or ekfac.
        """
        method = self.method or saved_method(self.index.run["method"])
        best = Top(1, top or len(self))
        for numbers, scores in combined([checkpoint.self_scores(method) for checkpoint in self.checkpoints]):
            best.add(numbers, scores)
        return self._attribution(method, *best.result(), Said(["the row itself"], queries=[]), {})

    def _attribution(
        self,
        method: TrainingMethod,
        values: Float[np.ndarray, "t k"],
        found: Int[np.ndarray, "t k"],
        said: "Said",
        run: Mapping[str, Any],
    ) -> Attribution:
        """Scores of the rows that were found, whose texts are the sources."""
        returned, index = np.unique(found, return_inverse=True)
        texts = [row_text(row) for row in self.index.rows(returned)]
        measure = method.measure if method.family == "predictive" else "similarity"
        run = {**self.index.run, **run}
        return Attribution(
            values=values,
            index=index.reshape(values.shape),
            sources=Sources("training rows", [str(i) for i in returned], texts),
            targets=Targets(said.texts, said.spans, measure=measure),
            unit=method.unit,
            method=describe(method),
            run={key: value for key, value in run.items() if key not in OF_THE_INDEX},
            response=said.response,
            traced=True,
            asked=said.queries or None,
            meaning=MEANING if method.family == "reference" else None,
            model=fingerprint_in(self.index.run),
        )


@dataclass(frozen=True, eq=False)
class Said:
    """What the targets are: their texts, the query of each, and their places in the response where all are of one."""

    texts: list[str]
    queries: list[dict[str, str]]
    response: str | None = None
    spans: Int[np.ndarray, "t 2"] | None = None


def said_by(queries: Rows) -> Said:
    """Every query's completion, or its text, as a target."""
    asked = [prompt_and_completion(row) for row in queries]
    return Said([row["completion"] for row in asked], asked)


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries as tokens, with the tokenizer that made them."""

    examples: Examples
    tokenizer: Tokenizer

    def said(self, queries: Rows) -> Said:
        """Each counted token as a target."""
        answers, places = self._pieces()
        texts = ["".join(answers)[start:end] for start, end in places]
        counts = [sum(example is row for example in self.examples.rows) for row in queries]
        if len(queries) == 1:
            return Said(texts, [prompt_and_completion(queries[0])], answers[0], places)
        asked = [prompt_and_completion(row) for row, count in zip(queries, counts, strict=True) for _ in range(count)]
        return Said(texts, asked)

    def _pieces(self) -> tuple[list[str], Int[np.ndarray, "t 2"]]:
        """The text of each query's counted tokens, and each token's characters in all of them, one behind the other."""
        texts, spans, end = [], [], 0
        pairs = zip(self.examples.ids, self.examples.counted, strict=True)
        for _, group in itertools.groupby(pairs, key=lambda pair: id(pair[0])):  # the tokens of one query
            said = [token for ids, counted in group for token in np.asarray(ids)[counted].tolist()]
            texts.append(decode(self.tokenizer, said))
            spans.append(decoded_offsets(self.tokenizer, said, len(texts[-1])) + end)
            end += len(texts[-1])
        return texts, np.concatenate(spans)


def _asked(checkpoint: Checkpoint, lm: LM, given: Rows, tokens: bool) -> Asked:
    """The queries as a checkpoint's model reads them; with `tokens` each counted token by itself."""
    examples = lm.tokenize(given).called("query")
    if examples.loss != checkpoint.index.run["loss"]:
        note(f"of the queries the loss counts {examples.loss}, of the rows {checkpoint.index.run['loss']}")
    return Asked(examples.each_token() if tokens else examples, lm.tokenizer)


def _ends(columns: np.ndarray, top: int) -> np.ndarray:
    """The first and last `top` columns."""
    return columns if columns.shape[1] <= 2 * top else np.concatenate([columns[:, :top], columns[:, -top:]], axis=1)


def saved_method(saved: Mapping[str, Any]) -> TrainingMethod:
    """The method of `METHODS` that a run.json records; raises `LlmattrError` for one of somebody's own."""
    name, fields = saved["name"], {key: value for key, value in saved.items() if key != "name"}
    if name not in METHODS:
        raise LlmattrError(
            f"the index was built with {name!r}, which is not in METHODS: open_index(folder, method=...) takes it"
        )
    return find_training_method(METHODS[name](**fields), METHODS)
