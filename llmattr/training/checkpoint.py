"""The index of one checkpoint with its model, and products with the numbers that it has of its rows."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from llmattr.core.fields import check_fields
from llmattr.core.plain_json import plain
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError
from llmattr.training.contract import IndexMethod
from llmattr.training.index.approximate import candidates
from llmattr.training.index.search import Products, Scores, Weighed, chosen_products
from llmattr.training.index.store import GradientIndex, refuse_difference

if TYPE_CHECKING:  # an index of texts has no model, and waits for no torch
    from llmattr.model.lm import LM

KEPT = 2**33  # bytes that the models of several checkpoints may take together to stay loaded between questions


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The index of one checkpoint, and its model: given, or where run.json says it is; in `kept` once it was loaded."""

    index: GradientIndex
    model: Any = None
    device: str | None = None
    kept: "list[LM]" = field(default_factory=list)

    def load(self) -> "LM":
        """The model, after checking that it is the one that the index was made with.

        It stays loaded, but for one of several that are too big to stay together.
        """
        from llmattr.model.lm import LM

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

    def products(self, method: IndexMethod, queries: Float[np.ndarray, "t D"], nearest: int = 0) -> Scores:
        """Scores of the rows for queries that are rows of numbers themselves; with `nearest` only of the
        rows that faiss proposes, so many for each query and side."""
        index = self.index
        weighed = self.weighed(method, queries)
        if nearest:
            proposed = candidates(index, weighed, self.weighed(method, queries[:1]), nearest)
            return Scores(chosen_products(index, weighed, proposed))
        return Scores(Products(index, weighed), weighed.added)

    def weighed(self, method: IndexMethod, queries: Float[np.ndarray, "t D"]) -> Weighed:
        """What the method makes of these queries, with arrays of the shapes that rows are multiplied with."""
        with unchanged(method.name, lambda: {"queries": queries.tobytes(), "index.run": plain(self.index.run)}):
            weighed = returned(method, "weigh", method.weigh(self.index, queries), Weighed)
        check_fields(weighed, f"{method.name}: weigh")
        n, dim = self.index.vectors.shape
        if np.isfinite(queries).all():  # else it is not the method's doing, and the score that is none is named
            returned(method, "weigh", weighed.queries, np.ndarray, queries.shape)
        for name, shape in (("root", (dim, dim)), ("lengths", (n,)), ("outer", (n,))):
            if (array := vars(weighed)[name]) is not None:
                returned(method, f"{name} of weigh", array, np.ndarray, shape)
        return weighed
