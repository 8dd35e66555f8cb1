"""Questions to a finished index: scores of its rows, from one or several checkpoints, as an attribution."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmattr.data import Examples, Queries, prompt_and_completion, read_queries, row_text
from llmattr.errors import LlmattrError, check_number, note
from llmattr.lm import LM
from llmattr.method import describe, find_method
from llmattr.training import METHODS
from llmattr.training.approximate import candidates
from llmattr.training.features import Encoded, HiddenStates, Nothing
from llmattr.training.gradient import Features, Projector, load_fitted, project, tracked
from llmattr.training.index import GradientIndex, Projection, refuse_difference
from llmattr.training.influence import Stream
from llmattr.training.search import Block, Top, added, chosen_products, products
from llmattr.training.stream import Layered, self_products, streamed
from llmattr.types import Attribution, Sources, Targets

EXACT = {
    "grad-dot": Stream("dot"),
    "grad-cos": Stream("cosine"),
}  # methods whose scores can be computed again with whole gradients


def load_features(method: Any, lm: LM, folder: Path, run: dict[str, Any]) -> Features:
    """What makes the rows of the index in this folder."""
    kind = getattr(method, "features", None)
    if kind == "gradients":
        projection = Projection(**run["projection"])
        return Projector(lm, projection, tracked(lm, run), run["groups"], load_fitted(lm, folder))
    if kind == "hidden states":
        return HiddenStates(lm, method.layer)
    if kind == "embeddings":
        return Encoded(method.encoder)
    return Nothing(load_fitted(lm, folder), {key: run[key] for key in ("layers", "groups") if key in run})


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The index of one checkpoint, and its model: given, or where run.json says it is."""

    index: GradientIndex
    model: Any = None

    def load(self) -> LM:
        """The model, after checking that it is the one that the index was made with."""
        if isinstance(self.model, LM):
            return self.model
        lm = LM.load(self.index.run["model"] if self.model is None else self.model, self.index.run["dtype"])
        folder = str(self.index.folder)
        refuse_difference(self.index.run, lm.fingerprint(), f"the index {folder!r} was built with another model or tokenizer")
        return lm

    def scores(
        self, method: Any, lm: LM, asked: Examples, rows: Sequence[int] | None, nearest: int = 0
    ) -> tuple[Iterator[Block], Any]:
        """Scores of the training rows block by block, and the factor of rows that is averaged over checkpoints.

        With `nearest` only of so many rows for each query and side, which faiss proposes.
        """
        index = self.index
        if hasattr(method, "weigh"):
            weighed = method.weigh(index, project(load_features(method, lm, index.folder, index.run), asked, method.measure))
            if nearest:
                return chosen_products(index, weighed, candidates(index, weighed, nearest)), weighed.outer
            return products(index, weighed), weighed.outer
        if hasattr(method, "retrieve"):
            found = method.retrieve([row_text(row) for row in index.rows()], [row_text(row) for row in asked.rows])
            return iter([(np.arange(len(index)), found)]), None
        train = lm.tokenize(index.rows())
        return streamed(method, self.layered(lm), train, asked, rows), None

    def layered(self, lm: LM) -> Layered:
        """The model with its tracked layers and what was fitted for them."""
        run = self.index.run
        return Layered(lm, tracked(lm, run), run["groups"], load_fitted(lm, self.index.folder), run["seed"])


@dataclass(frozen=True, eq=False)
class TraceIndex:
    """A finished index with its model, ready for questions; of several checkpoints the scores are added."""

    checkpoints: Sequence[Checkpoint]

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
        method = saved_method(self.index.run["method"])
        self._check(method, tokens, rerank, rows, approximate)
        given = read_queries(queries)
        values, found, asked = self._search(method, given, tokens, max(top or len(self), rerank), rows, approximate)
        if rerank:
            values, found, asked = self._search(EXACT[method.name], given, tokens, top or len(self), np.unique(found).tolist())
        if top is not None:
            values, found = _ends(values, top), _ends(found, top)
        run = {**self.index.run, "seconds": {"query": time.perf_counter() - started}, "rerank": rerank}
        return _attribution(values, found, given, asked if tokens else None, self.index.rows(), method, run)

    def _check(self, method: Any, tokens: bool, rerank: int, rows: Sequence[int] | None, approximate: bool) -> None:
        if approximate and not (hasattr(method, "weigh") and len(self.checkpoints) == 1):
            raise LlmattrError("approximate search is for the index of one checkpoint, of a method that keeps rows")
        if tokens and method.family == "corroborative":
            raise LlmattrError(f"{method.name} compares whole rows: it has no score of a token (--tokens)")
        if rerank and method.name not in EXACT:
            raise LlmattrError(f"rerank scores {' and '.join(EXACT)} again, not {method.name}: ask an index of ekfac or stream")
        if rows is not None and not (hasattr(method, "transform") or hasattr(method, "precondition")):
            raise LlmattrError(f"{method.name} scores every row of its index: rows are chosen for methods without one (ekfac)")
        if rows is not None and not all(0 <= row < len(self) for row in rows):
            raise LlmattrError(f"rows are numbered from 0 to {len(self) - 1}")

    def _search(
        self, method: Any, given: Any, tokens: bool, top: int, rows: Any, approximate: bool = False
    ) -> tuple[Any, Any, "Asked"]:
        parts, outers, asked = [], [], None
        for checkpoint in self.checkpoints:
            lm = checkpoint.load()
            examples = lm.tokenize(given)
            if examples.loss != checkpoint.index.run["loss"]:
                note(f"of the queries the loss counts {examples.loss}, of the rows {checkpoint.index.run['loss']}")
            examples = examples.each_token() if tokens else examples
            asked = asked or Asked(examples, lm.tokenizer)
            blocks, outer = checkpoint.scores(method, lm, examples, rows, top if approximate else 0)
            parts.append(blocks)
            outers.append(outer)
        assert asked is not None
        factor = None if outers[0] is None else np.mean(outers, axis=0)
        best = Top(len(asked.examples), top)
        for numbers, scores in added(parts):
            best.add(numbers, scores if factor is None else scores * factor[numbers])
        return *best.result(), asked

    def self_influence(self, top: int | None = None) -> Attribution:
        """Every training row's score for itself: the highest are unusual, hard or mislabelled rows, which the model memorised.

        One target, "the row itself"; needs a method on an index of gradients, or stream or ekfac.
        """
        method = saved_method(self.index.run["method"])
        total: Any = 0
        for checkpoint in self.checkpoints:
            total = total + _self_scores(checkpoint, method)
        best = Top(1, top or len(self))
        best.add(np.arange(len(self)), total[None])
        run = {**self.index.run, "queries": []}  # nothing was asked
        return _attribution(*best.result(), [{"completion": "the row itself"}], None, self.index.rows(), method, run)


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries as tokens, with the tokenizer that made them."""

    examples: Examples
    tokenizer: Any

    def pieces(self) -> list[str]:
        """The text of each example's counted tokens."""
        pairs = zip(self.examples.ids, self.examples.counted, strict=True)
        return [self.tokenizer.decode(np.asarray(ids)[counted]) for ids, counted in pairs]


def _ends(columns: np.ndarray, top: int) -> np.ndarray:
    """The first and last `top` columns."""
    return columns if columns.shape[1] <= 2 * top else np.concatenate([columns[:, :top], columns[:, -top:]], axis=1)


def _self_scores(checkpoint: Checkpoint, method: Any) -> np.ndarray:
    index = checkpoint.index
    if getattr(method, "features", None) == "gradients":
        parts = []
        for start, block in index.blocks():
            weighed = method.weigh(index, block)
            if weighed.factor is not None:
                raise LlmattrError(
                    f"{method.name} is a cosine, 1 of every row with itself: take grad-dot, logra, stream or ekfac"
                )
            factor = weighed.outer
            scores = np.einsum("bd,bd->b", weighed.queries, block.astype(np.float64))
            parts.append(scores if factor is None else scores * factor[start : start + len(block)])
        return np.concatenate(parts)
    if not hasattr(method, "transform"):
        raise LlmattrError(f"{method.name} has no score of a row for itself: take an index of gradients, stream or ekfac")
    lm = checkpoint.load()
    rows = lm.tokenize(index.rows())
    return self_products(method, checkpoint.layered(lm), rows)


def saved_method(saved: Mapping[str, Any]) -> Any:
    """The method that a run.json records."""
    find_method(saved["name"], METHODS)
    return METHODS[saved["name"]](**{key: value for key, value in saved.items() if key != "name"})


def _attribution(
    values: Any, found: Any, queries: Any, asked: Asked | None, rows: Any, method: Any, run: dict[str, Any]
) -> Attribution:
    returned, index = np.unique(found, return_inverse=True)
    texts = [row_text(rows[i]) for i in returned]
    run = {"queries": [prompt_and_completion(row) for row in queries], **run}
    response, spans = None, None
    said = [row.get("completion") or row_text(row) for row in queries]
    if asked is not None:
        said = asked.pieces()
        if len(queries) == 1:
            response, spans = "".join(said), _spans(said)
        else:
            counts = [sum(example is row for example in asked.examples.rows) for row in queries]
            run["queries"] = [
                prompt_and_completion(row) for row, count in zip(queries, counts, strict=True) for _ in range(count)
            ]
    return Attribution(
        values=values,
        index=index.reshape(values.shape),
        sources=Sources("training rows", [str(i) for i in returned], texts),
        targets=Targets(said, spans, measure=method.measure if method.family == "predictive" else "similarity"),
        unit=method.unit,
        method=describe(method),
        run={key: value for key, value in run.items() if key not in ("method", "layers", "groups", "checksums")},
        response=response,
        traced=True,
    )


def _spans(pieces: Sequence[str]) -> np.ndarray:
    """Where pieces stand in the text that they make."""
    ends = np.cumsum([len(piece) for piece in pieces])
    return np.stack([np.append(0, ends[:-1]), ends], axis=1)
