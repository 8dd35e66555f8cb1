"""The same question again: a context by several seeds and in other words, training rows by the runs of an index."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath

from llmattr.certainty.replicates import CHECKPOINT, QUESTION, Replicates, replicates
from llmattr.certainty.variance import Factors
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError
from llmattr.text.reading import Queries, read_queries
from llmattr.training.contract import TrainingMethod, UnrolledMethod
from llmattr.training.query import TraceIndex


def over_seeds(found: Attribution, seeds: Sequence[int], paraphrases: Sequence[str] = ()) -> Attribution:
    """The mean of a fresh result of `cite` over seeds, with deviations, q-values, and evidence for what the mean cites.

    `paraphrases`: the query in other words, each asked by every seed, with the response as it is; chance is then that of the
    wording, of which no model makes any up. Raises `LlmattrError` for a loaded result, and where nothing differs between runs.
    """
    if found.session is None:
        raise LlmattrError("only a fresh result of cite() can be drawn again; run cite() again for this one")
    asked = range(1 + len(paraphrases))
    factors = {QUESTION: [one for one in asked for _ in seeds], "seed": [seed for _ in asked for seed in seeds]}
    return found.session.over(seeds, partial(_mean, factors if paraphrases else {}), paraphrases)


def _mean(factors: Factors, runs: Sequence[Attribution]) -> Attribution:
    """Of runs on the same context, which the first run's session and relevance are of, too."""
    return replace(replicates(runs, factors).attribution(), session=runs[0].session, relevance=runs[0].relevance)


def over_models(
    index: TraceIndex, queries: Queries, *, tokens: bool = False, method: str | type | TrainingMethod | None = None
) -> Replicates:
    """Every row's score by each model of an index of several by itself: what `query` adds up.

    Models in the folders `checkpoint-STEP` of one training are its last checkpoints; others are trainings with seeds of their
    own. `tokens`, `method`: as for `query`. Raises `LlmattrError` for an index of one model and methods of a whole training.
    """
    if len(index.checkpoints) < 2:
        raise LlmattrError(
            "the index is of one model: build one of several runs (--checkpoints A --checkpoints B) for replicates"
        )
    chosen, rows = index.chosen(method), read_queries(queries)
    if isinstance(chosen, UnrolledMethod):
        raise LlmattrError(f"{chosen.name} scores a whole training, and no model by itself: take another method for replicates")
    parts = [TraceIndex([one], index.method) for one in index.checkpoints]
    each = [part.query(rows, None, tokens=tokens, method=method, foreign=0) for part in parts]
    return replicates(each, factors_of([str(one.index.run["model"]) for one in index.checkpoints]))


def factors_of(models: Sequence[str]) -> dict[str, list[str]]:
    """Of each model its training and its checkpoint, by the names of their folders: TRAINING/checkpoint-STEP."""
    steps = [PurePath(model).name.removeprefix("checkpoint-") for model in models]
    if not all(PurePath(model).name == f"checkpoint-{step}" for model, step in zip(models, steps, strict=True)):
        return {"seed": list(models)}
    trainings = [str(PurePath(model).parent) for model in models]
    return {"seed": trainings, CHECKPOINT: steps}
