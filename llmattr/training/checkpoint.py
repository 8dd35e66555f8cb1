"""The index of one checkpoint with its model: scores of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.core.fields import check_fields
from llmattr.core.plain_json import plain
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
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
from llmattr.training.gradients.layers import named_layers
from llmattr.training.gradients.moments import scales_in
from llmattr.training.index.approximate import candidates
from llmattr.training.index.search import Products, Scores, Weighed, chosen_products
from llmattr.training.index.store import GradientIndex, refuse_difference
from llmattr.training.projection import Projection
from llmattr.training.stream import Layered, self_products, streamed
from llmattr.training.vectors.contract import Vectors
from llmattr.training.vectors.fill import project
from llmattr.training.vectors.plain import Encoded, HiddenStates, Nothing
from llmattr.training.vectors.projector import Projector, load_fitted

KEPT = 2**33  # bytes that the models of several checkpoints may take together to stay loaded between questions


def load_vectors(method: ModelMethod, lm: LM, folder: Path, run: dict[str, Any]) -> Vectors:
    """What makes the rows of the index in this folder."""
    match method:
        case IndexMethod(vectors="gradients"):
            projection = Projection(**run["projection"])
            return Projector(lm, projection, named_layers(lm, run["layers"]), run["groups"], load_fitted(lm, folder))
        case IndexMethod():
            return plain_vectors(method, lm)
        case StreamMethod() | UnrolledMethod() | WholeMethod():
            return Nothing(load_fitted(lm, folder), {key: run[key] for key in ("layers", "groups") if key in run})


def plain_vectors(method: IndexMethod, lm: LM) -> Vectors:
    """Rows that nothing is fitted for; raises `LlmattrError` for a method that does not say of which layer or encoder."""
    match method:
        case IndexMethod(vectors="hidden states", layer=int(layer)):
            return HiddenStates(lm, layer)
        case IndexMethod(vectors="embeddings", encoder=str(encoder)):
            return Encoded(encoder)
        case IndexMethod(vectors="weighted hidden states", layer=int(layer)):
            return HiddenStates(lm, layer, weighted=True)
    raise LlmattrError(f"{method.name} has rows of {method.vectors}, and no field layer (an int) or encoder (a str) for them")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The index of one checkpoint, and its model: given, or where run.json says it is; in `kept` once it was loaded."""

    index: GradientIndex
    model: Any = None
    device: str | None = None
    kept: list[LM] = field(default_factory=list)

    def load(self) -> LM:
        """The model, after checking that it is the one that the index was made with.

        It stays loaded, but for one of several that are too big to stay together.
        """
        if self.kept:
            return self.kept[0]
        run, folder = self.index.run, str(self.index.folder)
        if self.model is None and not run["model"]:
            raise LlmattrError(f"the index {folder!r} does not say where its model is: give the model (--model)")
        try:
            lm = LM.load(run["model"] if self.model is None else self.model, run["dtype"], self.device)
        except LlmattrError as error:
            moved = self.model is None and "cannot load" in str(error)
            where = "; the index names it: say with --model where it is now" if moved else ""
            raise LlmattrError(f"{error}{where}") from error
        asked = {"dtype": lm.record()["dtype"], **lm.fingerprint()}
        refuse_difference(run, asked, f"the index {folder!r} was built with another model or tokenizer")
        several = run.get("checkpoints", 1)
        if several == 1 or several * sum(p.numel() * p.element_size() for p in lm.model.parameters()) <= KEPT:
            self.kept.append(lm)
        return lm

    def scores(self, method: OneModel, lm: LM, asked: Examples, rows: Sequence[int] | None, nearest: int = 0) -> Scores:
        """Scores of the training rows for the queries; with `nearest` only of the rows that faiss proposes, so many for each
        query and side."""
        index = self.index
        match method:
            case IndexMethod():
                return self._products(method, lm, asked, nearest)
            case StreamMethod() | WholeMethod():
                return Scores(streamed(method, self.layered(lm), lm.tokenize(index.rows()), asked, rows))

    def _products(self, method: IndexMethod, lm: LM, asked: Examples, nearest: int) -> Scores:
        vectors = load_vectors(method, lm, self.index.folder, self.index.run)
        if isinstance(method, Stepwise) and isinstance(vectors, Projector):
            vectors = vectors.plain()
        return self.products(method, project(vectors, asked, method.measure), nearest)

    def products(self, method: IndexMethod, queries: Float[np.ndarray, "t D"], nearest: int = 0) -> Scores:
        """Scores of the rows for queries that are rows of numbers themselves; `nearest` as for `scores`."""
        index = self.index
        weighed = self._weighed(method, queries)
        if nearest:
            proposed = candidates(index, weighed, self._weighed(method, queries[:1]), nearest)
            return Scores(chosen_products(index, weighed, proposed))
        return Scores(Products(index, weighed), weighed.added)

    def _weighed(self, method: IndexMethod, queries: Float[np.ndarray, "t D"]) -> Weighed:
        """What the method makes of these queries, with arrays of the shapes that rows are multiplied with."""
        with unchanged(method.name, lambda: {"queries": queries.tobytes(), "index.run": plain(self.index.run)}):
            weighed = returned(method, "weigh", method.weigh(self.index, queries), Weighed)
        check_fields(weighed, f"{method.name}: weigh")
        n, dim = self.index.vectors.shape
        if np.isfinite(queries).all():  # else it is not the method's doing, and the score that is none is named
            returned(method, "weigh", weighed.queries, np.ndarray, queries.shape)
        for name, array, shape in (("root", weighed.root, (dim, dim)), ("outer", weighed.outer, (n,))):
            if array is not None:
                returned(method, f"{name} of weigh", array, np.ndarray, shape)
        return weighed

    def self_scores(self, method: TrainingMethod) -> Scores:
        """Every row's score for itself."""
        match method:
            case IndexMethod(vectors="gradients"):
                return self._stored_self_scores(method)
            case StreamMethod():
                lm = self.load()
                rows = lm.tokenize(self.index.rows())
                return Scores([(np.arange(len(rows)), self_products(method, self.layered(lm), rows)[None])])
        raise LlmattrError(f"{method.name} has no score of a row for itself: take an index of gradients, stream or ekfac")

    def _stored_self_scores(self, method: IndexMethod) -> Scores:
        blocks, added = [], False
        for start, block in self.index.blocks():
            weighed = self._weighed(method, block)
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

    def layered(self, lm: LM) -> Layered:
        """The model with its tracked layers and what was fitted for them."""
        run = self.index.run
        fitted = load_fitted(lm, self.index.folder)
        return Layered(lm, named_layers(lm, run["layers"]), run["groups"], fitted, run["seed"], scales_in(fitted))
