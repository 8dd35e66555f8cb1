"""What is asked of the model: completions behind prompts, as tokens, and the targets that they add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.core.sources import Measure, Targets
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.checked import kind_of_row
from llmattr.text.prompt import Rendered
from llmattr.text.questions import has_other, other_of
from llmattr.text.rows import prompt_and_completion

Row = Mapping[str, Any]
AGAINST, OTHER_PROMPT = "rather_than", "counterfactual"  # columns of a query beside its prompt and its completion


@dataclass(frozen=True, eq=False)
class Asked:
    """What is measured: `measure` of the completion of each of r requests, and the t targets as sums of these.

    `rows` [r]: as they were given. `weights` [t, r]: 1 for a completion, -1 for one that it is compared with, divided by the
    number of queries in a mean over them.
    """

    rows: Sequence[Row]
    requests: Sequence[Rendered]
    weights: Float[np.ndarray, "t r"]
    measure: Measure

    @property
    def passes(self) -> list[list[int]]:
        """The requests that one pass answers: of one token behind the same prompt, such as the two of a difference."""
        found: dict[object, list[int]] = {}
        for number, request in enumerate(self.requests):
            start, stop = request.response.start, request.response.stop
            of_one = stop == start + 1 == len(request.ids)
            key = (tuple(request.ids[:start]), self.rows[number].get(OTHER_PROMPT)) if of_one else number
            found.setdefault(key, []).append(number)
        return list(found.values())

    @property
    def queries(self) -> list[dict[str, str]] | None:
        """The prompt and completion of each target, and what it is compared with; None of a mean."""
        if not (self.weights == 1.0).any(axis=1).all():
            return None
        rows = [self.rows[r] for r in (self.weights == 1.0).argmax(axis=1)]
        return [prompt_and_completion(row) | ({AGAINST: row[AGAINST]} if has_other(row) else {}) for row in rows]

    @property
    def targets(self) -> Targets:
        """Their names."""
        if self.queries is None:
            return Targets(["the mean over the queries"], measure=self.measure)
        return Targets([query["completion"] for query in self.queries], measure=self.measure)


def asked_of(lm: LM, rows: Sequence[Row], measure: Measure, mean: bool) -> Asked:
    """Each row, and behind all of them the completions that some are compared with."""
    rows = [_present(row) for row in rows]
    compared = [number for number, row in enumerate(rows) if has_other(row)]
    every = [*rows, *(other_of(rows[number], f"query {number}") for number in compared)]
    signs = np.eye(len(rows), len(every))
    signs[compared, len(rows) + np.arange(len(compared))] = -1.0
    weights = signs.mean(axis=0, keepdims=True) if mean and len(rows) > 1 else signs
    return Asked(every, _requests(lm, every), weights, measure)


def _present(row: Row) -> Row:
    """Without the columns beside prompt and completion that a file has for other rows alone."""
    absent = [name for name in (AGAINST, OTHER_PROMPT) if row.get(name) in (None, "") or row.get(name) != row.get(name)]
    return {name: value for name, value in row.items() if name not in absent}


def _requests(lm: LM, rows: Sequence[Row]) -> list[Rendered]:
    """Each row with the tokens of what is said, which stand in one piece."""
    examples, found = lm.tokenize(rows, strict=True), []
    for number, (ids, counted) in enumerate(zip(examples.ids, examples.counted, strict=True)):
        places = np.flatnonzero(counted).tolist()
        if len(places) != places[-1] + 1 - places[0]:
            several = f"query {number} has several answers"
            raise LlmattrError(f"{several}: give the last as its completion, and what stands before as its prompt")
        found.append(Rendered(ids, slice(places[0], places[-1] + 1), np.zeros((0, 2), dtype=int)))
    return found


def counterfactual(lm: LM, asked: Asked) -> list[list[int]]:
    """The tokens of each request behind its other prompt; raises `LlmattrError` where it has none, or one of another length."""
    lacking = [number for number, row in enumerate(asked.rows) if row.get(OTHER_PROMPT) is None]
    if lacking:
        raise LlmattrError(f"query {lacking[0]} has no {OTHER_PROMPT!r}: give a prompt of as many tokens to resample from")
    if without := [number for number, row in enumerate(asked.rows) if kind_of_row(row) != "prompt"]:
        raise LlmattrError(
            f"query {without[0]} has no prompt that its {OTHER_PROMPT!r} could stand for: give prompt and completion"
        )
    others = _requests(lm, [{**row, "prompt": row[OTHER_PROMPT]} for row in asked.rows])
    for number, (one, other) in enumerate(zip(asked.requests, others, strict=True)):
        if one.response != other.response:
            tokens = f"{other.response.start} tokens, and its prompt {one.response.start}"
            raise LlmattrError(f"the {OTHER_PROMPT} of query {number} has {tokens}: give one of as many")
    return [other.ids for other in others]
