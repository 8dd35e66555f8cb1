"""Scores of an index's rows that take its models' passes, and those of its rows for themselves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.asked import Asked
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.contract import (
    IndexMethod,
    ModelMethod,
    OneModel,
    Stepwise,
    StreamMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
)
from llmattr.training.how import How, Rows
from llmattr.training.index.search import Scores, Top, combined, gathered
from llmattr.training.loaded import layered, load_vectors
from llmattr.training.stream import self_products, streamed
from llmattr.training.unrolled import unrolled
from llmattr.training.vectors.fill import project
from llmattr.training.vectors.projector import Projector


def search(method: ModelMethod, checkpoints: Sequence[Checkpoint], given: Rows, top: int, how: How) -> tuple[Top, Asked]:
    """The best and worst `top` rows of each target, and the targets; the scores of several checkpoints are added."""
    of = {"tokens": how.tokens, "weighed": method.family == "predictive"}
    if isinstance(method, UnrolledMethod):
        last = checkpoints[-1]
        asked = Asked.of(last.load(), given, last.index.run["loss"], **of)
        parts = unrolled(method, checkpoints, asked.examples, how.rows)
    else:
        parts, asked = [], None
        for checkpoint in checkpoints:
            lm = checkpoint.load()
            before, asked = asked, Asked.of(lm, given, checkpoint.index.run["loss"], **of)
            if before and len(before.examples) != len(asked.examples):
                raise LlmattrError("the checkpoints cut the queries into tokens each in its way: ask without --tokens")
            scores = _scores(checkpoint, method, lm, asked.examples, top=top, how=how)
            if len(checkpoints) > 1 and not isinstance(method, IndexMethod):  # one model runs at a time
                scores = replace(scores, blocks=gathered(scores.blocks))
            parts.append(scores)
        assert asked is not None
    return Top(len(asked.examples), top).over(combined(parts)), asked


def _scores(checkpoint: Checkpoint, method: OneModel, lm: LM, asked: Examples, *, top: int, how: How) -> Scores:
    """Scores of the training rows for the queries; where that is asked for only of those that faiss proposes."""
    index = checkpoint.index
    match method:
        case IndexMethod():
            vectors = load_vectors(method, lm, index.folder, index.run)
            if isinstance(method, Stepwise) and isinstance(vectors, Projector):
                vectors = vectors.plain()
            return checkpoint.products(method, project(vectors, asked, method.measure), top if how.approximate else 0)
        case StreamMethod() | WholeMethod():
            return Scores(streamed(method, layered(index, lm), lm.tokenize(index.rows()), asked, how.rows))


def self_scores(checkpoint: Checkpoint, method: TrainingMethod) -> Scores:
    """Every row's score for itself."""
    match method:
        case IndexMethod(vectors="gradients"):
            return _stored_self_scores(checkpoint, method)
        case StreamMethod():
            lm = checkpoint.load()
            rows = lm.tokenize(checkpoint.index.rows())
            return Scores([(np.arange(len(rows)), self_products(method, layered(checkpoint.index, lm), rows)[None])])
    raise LlmattrError(f"{method.name} has no score of a row for itself: take an index of gradients, stream or ekfac")


def _stored_self_scores(checkpoint: Checkpoint, method: IndexMethod) -> Scores:
    blocks, added = [], False
    for start, block in checkpoint.index.blocks():
        weighed = checkpoint.weighed(method, block)
        if weighed.cosine:
            raise LlmattrError(
                f"{method.name} is a cosine, 1 of every row with itself: ask by grad-dot of the same rows (--method), or "
                "build an index with trak (--for predicting), grad-dot, logra, stream or ekfac"
            )
        rows = np.arange(start, start + len(block))
        found = np.einsum("bd,bd->b", weighed.queries, block.astype(np.float64))
        blocks.append((rows, (found if weighed.outer is None else found * weighed.outer[rows])[None]))
        added = weighed.added
    return Scores(blocks, added)
