"""`build_index`, `open_index` and `trace`: which training examples made the model say this?"""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from llmattr.core.attribution import Attribution
from llmattr.core.method import check_options, describe
from llmattr.core.processes import is_main
from llmattr.errors import LlmattrError, check_choice, note
from llmattr.text.reading import Columns, Data, Queries, open_rows, read_queries
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.contract import (
    QuotingMethod,
    TextMethod,
    TrainingMethod,
    find_training_method,
)
from llmattr.training.index.files import building, read_run
from llmattr.training.index.store import DTYPES, GradientIndex, refuse_difference
from llmattr.training.methods import METHODS
from llmattr.training.methods.auto import Auto
from llmattr.training.projection import Projection
from llmattr.training.query import TraceIndex
from llmattr.training.texts import keep

if TYPE_CHECKING:  # what takes models is imported where it is needed: a question to texts alone waits for no torch
    from llmattr.training.checkpoints import Given


def build_index(
    model: object,
    data: Data,
    out: str | Path,
    method: str | type | Auto | TrainingMethod = Auto(),
    *,
    projection: Projection = Projection(),
    modules: str = "",
    row_type: str = "int8",
    strict: bool = False,
    append: bool = False,
    split: str | None = None,
    columns: Columns | None = None,
    checkpoints: str | Path | Sequence[Any] = (),
    learning_rates: Sequence[float] = (),
    dtype: str | None = None,
    device: str | None = None,
) -> "TraceIndex":
    """Write what a method needs of every training example into the folder `out`, or go on where a run was killed.

    `data`: a JSON-lines, CSV or parquet file, a folder saved by `datasets`, a hub id, a Dataset or a list of dicts, with the
    columns `text` (all tokens count), `prompt` + `completion` (the completion) or `messages` (the assistant); `split` and
    `columns` say which rows and which columns of it (`open_rows`). `method`: `Auto(for_="predicting")` takes the one that
    foretells retraining best. `modules`: a regular expression for the names of layers to track, instead of the method's
    parameters. `row_type`: int8, float16 or float32. `append`: add the data to a finished index. `checkpoints`: several models
    instead of one (their scores are added), or the folder in which a Trainer left them, with their `learning_rates` (from
    trainer_state.json where none are given), for tracin and source. Raises `LlmattrError` for what the user can mend.
    """
    from llmattr.training.build import Build, build_each, note_unused
    from llmattr.training.checkpoints import checkpoints_of
    from llmattr.training.vectors.plain import Nothing

    method, said = _found(method, checkpoints_of(checkpoints or [model]))
    check_options(projection)
    check_choice("row_type", row_type, DTYPES)
    given, out = open_rows(data, split, columns), Path(out)
    read = {name: value for name, value in (("split", split), ("columns", dict(columns or {}))) if value}
    if append and not (out / "run.json").exists():
        raise LlmattrError(f"there is no index to append to in {str(out)!r}: leave out append (--append)")
    if not checkpoints and len(learning_rates):
        raise LlmattrError("learning rates are of checkpoints (--checkpoints), and there are none")
    if checkpoints and model is not None:
        note("the checkpoints are indexed, and the model (--model) is not used")
    if isinstance(method, TextMethod | QuotingMethod):
        if checkpoints:
            raise LlmattrError(f"{method.name} compares texts, whatever the checkpoint: leave out checkpoints (--checkpoints)")
        note_unused(method, Nothing(), projection, modules, row_type)
        return TraceIndex([Checkpoint(keep(method, given, out, read, append))], method)
    build = Build(method, projection, modules, row_type, strict, append, dtype, device, read, said)
    with building(out) if is_main() else nullcontext():
        if checkpoints:
            return TraceIndex(build_each(build, checkpoints_of(checkpoints), learning_rates, given, out), method)
        return TraceIndex([build(model, given, out, {})], method)


def _found(method: object, models: Sequence[Any]) -> tuple[TrainingMethod, str]:
    """The method itself, the one of that name, or the one that `auto` takes for these models, and what to say of that."""
    asked, said = Auto() if method is Auto or method == Auto.name else method, ""
    if isinstance(asked, Auto):
        check_options(asked)
        asked, said = asked.choose(len(models), _is_adapter(models[0]))
    return find_training_method(asked, METHODS), said


def _is_adapter(model: object) -> bool:
    """Of a name, or of a model that was loaded."""
    from llmattr.model.lm import LM
    from llmattr.model.loading import is_adapter

    if isinstance(model, (str, Path)):
        return is_adapter(str(model))
    return any("lora_" in name for name in LM.load(model).linears())


def open_index(
    folder: str | Path, model: "Given | None" = None, device: str | None = None, *, method: type | TrainingMethod | None = None
) -> "TraceIndex":
    """Open a finished index; `model` where it is not at the place that the index names: of an index of several checkpoints
    one for each, in their order, or the folder in which a Trainer left them. `method`: what it was built with, where that is
    none of `METHODS`.

    Raises `LlmattrError` for a folder that is no index, is half built or of another version, and for another model or method.
    """
    given = None if method is None else find_training_method(method, METHODS)
    folder = Path(folder)
    names = read_run(folder).get("folders")
    if names is None:
        parts = [Checkpoint(GradientIndex.open(folder), model, device)]
    else:
        from llmattr.training.checkpoints import models_of

        models = models_of(model, len(names))
        parts = [Checkpoint(GradientIndex.open(folder / name), one, device) for name, one in zip(names, models, strict=True)]
    found = TraceIndex(parts, given)
    if found.asks_model and (names is None or model is not None):
        for part in parts:
            part.load()  # which refuses another model before anything is asked
    if given is not None:
        there = f"the index {str(folder)!r} was built with another method"
        refuse_difference({"method": parts[0].index.run["method"]}, {"method": describe(given)}, there)
    return found


class IndexOptions(TypedDict, total=False):
    """What `build_index` takes beside model, data, folder and method."""

    projection: Projection
    modules: str
    row_type: str
    strict: bool
    append: bool
    split: str | None
    columns: Columns | None
    checkpoints: str | Path | Sequence[Any]
    learning_rates: Sequence[float]
    dtype: str | None
    device: str | None


def trace(
    model: object,
    data: Data,
    queries: Queries,
    method: str | type | Auto | TrainingMethod = Auto(),
    top: int | None = None,
    **options: Unpack[IndexOptions],
) -> Attribution:
    """Attribute queries to training data in one call: an index in a temporary folder, asked once; options as for `build_index`.

    `top` None = every row.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = read_queries(queries, columns=options.get("columns"))
        return build_index(model, data, Path(folder) / "index", method, **options).query(asked, top)
