"""The rows that were found for what was said, as an attribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe
from llmattr.core.sources import Sources, Targets
from llmattr.model.contract import fingerprint_in
from llmattr.retrieval.baselines import MEANING
from llmattr.text.columns import own_columns
from llmattr.text.rows import prompt_and_completion, row_text
from llmattr.training.contract import TrainingMethod
from llmattr.training.index.store import GradientIndex

OF_THE_INDEX = ("method", "layers", "groups", "checksums", "commands")  # what its record has and a result's has not


@dataclass(frozen=True, eq=False)
class Said:
    """What the targets are: their texts, the query of each, and their places in the response where all are of one.

    `losses`: of each target its counted tokens, each with its `-log p` in nats.
    """

    texts: list[str]
    queries: list[dict[str, str]]
    response: str | None = None
    spans: Int[np.ndarray, "t 2"] | None = None
    losses: Sequence[Sequence[tuple[str, float]]] = ()

    @staticmethod
    def of(rows: Sequence[Mapping[str, Any]]) -> "Said":
        """Of whole queries, whose texts are compared."""
        asked = [prompt_and_completion(row) for row in rows]
        return Said([query["completion"] for query in asked], asked)


class Found(NamedTuple):
    """Scores, highest first, of the rows of these numbers, and their p-values, where these are known."""

    values: Float[np.ndarray, "t k"]
    rows: Int[np.ndarray, "t k"]
    p_values: Float[np.ndarray, "t k"] | None = None

    def first(self, k: int) -> "Found":
        """The first k columns."""
        return self._columns(np.s_[:k])

    def ends(self, k: int | None) -> "Found":
        """The first and last k columns; None: all."""
        if k is None or self.values.shape[1] <= 2 * k:
            return self
        return self._columns(np.r_[:k, -k:0])

    def _columns(self, chosen: slice | Int[np.ndarray, " c"]) -> "Found":
        p_values = None if self.p_values is None else self.p_values[:, chosen]
        return Found(self.values[:, chosen], self.rows[:, chosen], p_values)


def as_attribution(
    index: GradientIndex, method: TrainingMethod, found: Found, said: Said, run: Mapping[str, Any]
) -> Attribution:
    """Scores of the rows that were found, whose texts are the sources."""
    returned, places = np.unique(found.rows, return_inverse=True)
    rows = index.rows(returned)
    sources = Sources("training rows", [str(i) for i in returned], [row_text(row) for row in rows])
    known = [own_columns(row) for row in rows]
    measure = method.measure if method.family == "predictive" else "similarity"
    run = {**index.run, **run}
    return Attribution(
        values=found.values,
        index=places.reshape(found.values.shape),
        sources=replace(sources, columns=known) if any(known) else sources,
        targets=Targets(said.texts, said.spans, measure=measure),
        unit=method.unit,
        method=describe(method),
        run={key: value for key, value in run.items() if key not in OF_THE_INDEX},
        response=said.response,
        traced=True,
        asked=said.queries or None,
        meaning=_meaning(method, said),
        model=fingerprint_in(index.run),
        details={"loss": said.losses} if said.losses else {},
        p_values=found.p_values,
    )


def _meaning(method: TrainingMethod, said: Said) -> str | None:
    """What a score says, where that is not the usual."""
    if method.family == "predictive" and any("rather_than" in query for query in said.queries):
        return "positive = the row made the completion likelier than the answer that it is set against"
    return MEANING if method.family == "reference" else None
