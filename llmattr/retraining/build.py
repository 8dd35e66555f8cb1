"""`retrain`: which training examples made the model say this, found by training again without them."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack, get_args

import numpy as np
from jaxtyping import Float, Int

from llmattr.ablation import random_masks
from llmattr.core.attribution import Attribution
from llmattr.core.method import check_options, find_method
from llmattr.core.returned import scores_of
from llmattr.core.sources import Measure, Sources, Targets
from llmattr.errors import LlmattrError, check_choice, check_number, note
from llmattr.model.contract import fingerprint_in
from llmattr.model.lm import LM
from llmattr.retraining.ablation import NOISE, RetrainingAblation
from llmattr.retraining.command import CommandTrainer
from llmattr.retraining.contract import Method, OnSubsets
from llmattr.retraining.grouping import sources_of
from llmattr.retraining.methods import METHODS
from llmattr.retraining.methods.datamodels import Datamodel
from llmattr.retraining.recipe import Recipe
from llmattr.retraining.runs import CausalTrainer, FunctionTrainer, Trainer
from llmattr.retraining.scratch import is_scratch, scratch_model, with_space
from llmattr.retraining.store import RunStore
from llmattr.text.questions import has_other, has_span
from llmattr.text.reading import Columns, Data, Queries, read_queries, read_rows
from llmattr.text.rows import prompt_and_completion, row_text


class RetrainingOptions(TypedDict, total=False):
    """What `retraining_ablation` takes beside model, data, queries and seed."""

    out: str | Path | None
    group_by: str | None
    recipe: Recipe
    measure: Measure
    mean: bool
    replicates: int
    jobs: int | None
    split: str | None
    columns: Columns | None
    train: str | None


def retrain(
    model: object,
    data: Data,
    queries: Queries,
    method: object = Datamodel(),
    *,
    seed: int = 0,
    **options: Unpack[RetrainingOptions],
) -> Attribution:
    """Attribute queries to training data by training on parts of it; options as for `retraining_ablation`.

    Returns values [t, n] for all n sources, in nats. With `out` a run that was killed goes on, and more models cost only what
    they are more. `ceiling` is the highest correlation with a single run that the noise between seeds leaves, for each
    target (from two seeds of 16 subsets; for methods that train on random subsets).
    """
    if unknown := options.keys() - RetrainingOptions.__annotations__.keys():
        raise LlmattrError(
            f"retrain has no option {min(unknown)!r}; a method's own go with the method: METHODS['datamodel'](n_models=100)"
        )
    chosen: Method = find_method(method, METHODS, Method)
    return attributed(retraining_ablation(model, data, queries, seed=seed, **options), chosen)


def attributed(ablation: RetrainingAblation, method: Method) -> Attribution:
    """What `retrain` returns, from an ablation that further questions can be put to."""
    check_options(method)
    if isinstance(method, OnSubsets):
        _note_few(method, ablation.sources)
    started = time.perf_counter()
    ask = partial(method.attribute, ablation, ablation.seed)
    found = scores_of(method, ablation, ask, member=ablation.member)  # data-oob has its own targets
    run = {**ablation.record(), **found.run, "seconds": {"train": time.perf_counter() - started}}
    ceiling = _ceiling(method, ablation) if isinstance(method, OnSubsets) else None
    run |= {"runs": max(run["runs"], len(ablation.memory))}
    asked = ablation.trainer.asked if found.targets.texts == ablation.targets.texts else []
    said = {"run": run, "asked": asked or None, "model": fingerprint_in(run)}
    return dataclasses.replace(found, **said, traced=True, ceiling=ceiling)


def _ceiling(method: OnSubsets, ablation: RetrainingAblation) -> Float[np.ndarray, " t"]:
    """The highest LDS that predictions of single runs can have, from subsets such as the method's own."""
    count = NOISE if method.n_models == "auto" else min(NOISE, method.n_models)
    match method:
        case OnSubsets(keep=float(rate)):
            keep = rate
        case _:
            keep = 0.5
    return ablation.ceiling(random_masks(count, len(ablation.sources), keep, ablation.seed))


def _note_few(method: OnSubsets, sources: Sources) -> None:
    match method:
        case OnSubsets(prior=str(known)) if known != "none":
            return  # a few models weigh known scores
        case _:
            models, n = method.n_models, len(sources)
    if isinstance(models, int) and models < n:
        note(
            f"{models} models are few for {n} {sources.kind}: single scores are mostly chance; take {2 * n} (--n-models), or "
            "put rows together (--group-by)"
        )


def retraining_ablation(
    model: object,
    data: Data,
    queries: Queries,
    *,
    out: str | Path | None = None,
    group_by: str | None = None,
    recipe: Recipe = Recipe(),
    measure: Measure = "logprob",
    mean: bool = False,
    replicates: int = 1,
    jobs: int | None = None,
    seed: int = 0,
    split: str | None = None,
    columns: Columns | None = None,
    train: str | None = None,
) -> RetrainingAblation:
    """An `Ablation` whose sources are rows of training data and whose targets are queries, by training again.

    `model`: a name or folder, or a (model, tokenizer) pair: what each run starts from, or with a recipe that starts at "random"
    only its shape; "scratch" and "scratch-gpt2" are small transformers over the words of the data (`scratch_model`). `data`,
    `queries`, `split` and `columns` (of the queries too, where they have these): as for `build_index`. `out`: a folder where
    finished runs are kept. `group_by`: a column; rows that have the same there are one source. `measure`: "logprob" or "logit"
    of a query's counted tokens. `mean`: one target, the mean over the queries. `replicates`: runs with different seeds that
    each output is the mean of. `jobs`: how many processes train. `train`: a command of your own that trains
    (`CommandTrainer`), in the place of model and recipe.
    """
    _check(recipe, measure, replicates, jobs)
    given, asked = read_rows(data, split, columns), read_queries(queries, columns=columns)
    if any(has_span(row) or has_other(row) for row in asked):
        note("whole answers are asked about by training again: what queries have as span or rather_than is not used")
    if train is not None:
        trainer: Trainer = CommandTrainer(train, given, asked, measure, mean)
    else:
        given, asked = ([with_space(row) for row in part] if is_scratch(model) else part for part in (given, asked))
        trainer = _causal_trainer(model, given, asked, recipe, measure=measure, mean=mean)
    sources, member = sources_of(given, group_by)
    texts = ["the mean over the queries"] if mean else [prompt_and_completion(row)["completion"] for row in asked]
    store = None if out is None else RunStore.of(out, {**trainer.record(), "sources": _groups_record(member, group_by)})
    targets = Targets(texts, measure=measure)
    return RetrainingAblation(trainer, sources, targets, member, store, replicates=replicates, jobs=jobs, seed=seed)


def _causal_trainer(
    model: object, given: list[dict[str, Any]], asked: list[dict[str, Any]], recipe: Recipe, *, measure: Measure, mean: bool
) -> CausalTrainer:
    if isinstance(model, str) and is_scratch(model):
        texts = [text for row in [*given, *asked] for text in (row_text(row), *prompt_and_completion(row).values()) if text]
        model, recipe = scratch_model(texts, name=model), dataclasses.replace(recipe, start="random")
    lm = _causal(model)
    rows, questions = (lm.tokenize(part) for part in (given, asked))
    place = str(model) if isinstance(model, (str, Path)) else lm
    return CausalTrainer(place, rows, questions.called("query"), recipe.for_rows(len(given)), measure=measure, mean=mean)


def _check(recipe: Recipe, measure: Measure, replicates: int, jobs: int | None) -> None:
    """Raise `LlmattrError` for an option that is out of its bounds."""
    check_options(recipe)
    check_number("replicates", replicates, 1, whole=True)
    if jobs is not None and jobs != -1:
        check_number("jobs (or -1: one for each core)", jobs, 1, whole=True)
    check_choice("measure", measure, get_args(Measure))


def _causal(model: object) -> LM:
    lm = LM.load(model)
    if lm.kind != "causal":
        raise LlmattrError(f"training again is for causal models, not for the {lm.kind} model {lm.name!r}")
    return lm


def from_function(
    function: Callable[..., Any],
    n_sources: int,
    n_targets: int = 1,
    out: str | Path | None = None,
    name: str = "",
    *,
    replicates: int = 1,
    paired: bool = False,
    jobs: int | None = None,
    seed: int = 0,
) -> RetrainingAblation:
    """A `RetrainingAblation` whose training is your own: `function(weights Float[n], seed) -> outputs [t]`.

    Runs are kept in the folder `out` under the function's `name` (its own name where none is given; a lambda has none). The
    other options are those of `RetrainingAblation`.

    >>> from llmattr.surrogate import leave_one_out
    >>> leave_one_out(from_function(lambda weights, seed: [2.0 * weights[0] - weights[1]], 3)).values.tolist()
    [[2.0, -1.0, 0.0]]
    """
    trainer: Trainer = FunctionTrainer(function, n_targets, name)
    if out is not None and trainer.record()["function"] == "<lambda>":
        raise LlmattrError("a lambda's runs cannot be told from another's: give the function a name (name=)")
    names = [str(i) for i in range(n_sources)]
    sources = Sources("sources", names, [f"source {one}" for one in names])
    targets = Targets([f"output {t}" for t in range(n_targets)], measure="value")
    store = None if out is None else RunStore.of(out, {**trainer.record(), "sources": n_sources, "targets": n_targets})
    return RetrainingAblation(
        trainer, sources, targets, np.arange(n_sources), store, replicates=replicates, paired=paired, jobs=jobs, seed=seed
    )


def _groups_record(member: Int[np.ndarray, " rows"], group_by: str | None) -> list[Any] | str | None:
    return group_by and [group_by, member.tolist()]
