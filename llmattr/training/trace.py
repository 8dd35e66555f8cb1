"""`build_index`, `open_index` and `trace`: which training examples made the model say this?"""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import Tensor

from llmattr.core.attribution import Attribution
from llmattr.core.method import check_options, describe
from llmattr.core.processes import is_main
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError, check_choice, check_text, note
from llmattr.model.batches import batch_tokens
from llmattr.model.lm import LM
from llmattr.model.loading import is_adapter
from llmattr.text.reading import Columns, Data, Queries, open_rows, read_queries
from llmattr.text.rows import Examples
from llmattr.training.checkpoint import Checkpoint, load_vectors, plain_vectors
from llmattr.training.checkpoints import Given, checkpoints_of, learning_rates_of, models_of, refuse_other_run, spans_of
from llmattr.training.contract import (
    IndexMethod,
    ModelMethod,
    Normalized,
    QuotingMethod,
    StreamMethod,
    TextMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
    find_training_method,
    parameters_of,
)
from llmattr.training.gradients.layers import Layers, input_groups
from llmattr.training.gradients.project import Bases
from llmattr.training.gradients.untracked import left_out, track
from llmattr.training.index.files import VERSION, building, check_bytes, read_run, save_run
from llmattr.training.index.store import DTYPES, GradientIndex, check_empty, refuse_difference, refuse_other
from llmattr.training.methods import METHODS
from llmattr.training.methods.auto import Auto
from llmattr.training.projection import Projection
from llmattr.training.query import TraceIndex
from llmattr.training.quoting import keep
from llmattr.training.vectors.contract import Vectors
from llmattr.training.vectors.fill import fill
from llmattr.training.vectors.plain import Nothing
from llmattr.training.vectors.projector import Projector, save_fitted


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
    if isinstance(method, QuotingMethod):
        if checkpoints:
            raise LlmattrError(f"{method.name} compares texts, whatever the checkpoint: leave out checkpoints (--checkpoints)")
        _note_unused(method, Nothing(), projection, modules, row_type)
        return TraceIndex([Checkpoint(keep(method, given, out, read, append))], method)
    build = _Build(method, projection, modules, row_type, strict, append, dtype, device, read, said)
    with building(out) if is_main() else nullcontext():
        if checkpoints:
            return TraceIndex(_build_each(build, checkpoints_of(checkpoints), learning_rates, given, out), method)
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
    if isinstance(model, (str, Path)):
        return is_adapter(str(model))
    return any("lora_" in name for name in LM.load(model).linears())


def _build_each(
    build: "_Build", models: list[Any], learning_rates: Sequence[float], rows: Sequence[dict[str, Any]], out: Path
) -> list[Checkpoint]:
    """The indexes of several checkpoints; a model that was loaded for its index is not kept."""
    _check_parent(out)
    parts = []
    rates = learning_rates_of(models, learning_rates)
    spans = spans_of(models, learning_rates) if isinstance(build.method, UnrolledMethod) else [None] * len(models)
    for number, (one, rate, span) in enumerate(zip(models, rates, spans, strict=True)):
        known = {"learning_rate": rate, "span": span}
        extra = {"checkpoints": len(models)} | {name: value for name, value in known.items() if value is not None}
        parts.append(Checkpoint(build(one, rows, out / f"checkpoint-{number}", extra).index, one, build.device))
        build = dataclasses.replace(build, said="")
        if isinstance(build.method, UnrolledMethod):
            refuse_other_run(*(part.index.run for part in (parts[0], parts[-1])))
    save_run(out, {"version": VERSION, "folders": [part.index.folder.name for part in parts]})
    return parts


def _check_parent(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(not path.name.startswith("run.json") and not path.name.startswith("checkpoint-") for path in out.iterdir()):
        raise LlmattrError(f"{str(out)!r} is not empty and no index of checkpoints: give another --out")
    for left in out.glob("run.json.*.part"):  # by a build that was killed
        left.unlink(missing_ok=True)


PROJECTED_BY = {"principal": ("dim", "width", "complement"), "random": ("dim", "width"), "rademacher": ("dim",), "identity": ()}


def _note_unused(method: TrainingMethod, vectors: Vectors, projection: Projection, modules: str, row_type: str) -> None:
    """What was asked for and has no place in what the method keeps."""
    plain, given = dataclasses.asdict(Projection()), dataclasses.asdict(projection)
    projects = isinstance(vectors, Projector)
    used = {"seed", "kind", *PROJECTED_BY[projection.kind]} if projects else {"seed"}  # which also draws samples
    unused = [f"--{name}" for name in given if given[name] != plain[name] and name not in used]
    unused += ["--modules"] if modules and "layers" not in vectors.settings else []
    unused += ["--rows"] if row_type != "int8" and not vectors.dim else []
    if unused:
        what = f"a projection of the kind {projection.kind}" if projects else method.name
        note(f"{what} makes no use of {', '.join(unused)}")


@dataclass(frozen=True, eq=False)
class _Build:
    """How one checkpoint's index is built."""

    method: ModelMethod
    projection: Projection
    modules: str
    row_type: str
    strict: bool
    append: bool
    dtype: str | None
    device: str | None
    read: Mapping[str, Any]  # how the rows were read, where it was said
    said: str = ""  # of the method, once nothing stands in the way of its index

    def __call__(self, model: object, rows: Sequence[dict[str, Any]], out: Path, extra: dict[str, Any]) -> "Checkpoint":
        from accelerate import PartialState

        processes = PartialState(cpu=self.device == "cpu") if self.device == "cpu" else PartialState()
        several = processes.num_processes > 1
        lm = LM.load(model, self.dtype, str(processes.device) if several and self.device is None else self.device)
        examples = lm.tokenize(rows, self.strict)
        with processes.main_process_first():
            index, vectors = self._begin(lm, rows, examples, out, extra)
        if self.said and is_main():
            note(self.said)
        tokens = batch_tokens(lm.device)
        share = {"process": processes.process_index, "processes": processes.num_processes}
        fill(index, vectors, examples, self.method.measure, tokens, **share)
        processes.wait_for_everyone()
        if processes.is_main_process:
            if not index.done.all():  # a process with smaller batches may have left some
                fill(index, vectors, examples, self.method.measure, tokens)
            index.finish()
        processes.wait_for_everyone()
        return Checkpoint(GradientIndex.open(out), model, self.device, [lm])

    def _begin(
        self, lm: LM, rows: Sequence[dict[str, Any]], examples: Examples, out: Path, extra: dict[str, Any]
    ) -> tuple[GradientIndex, Vectors]:
        """The index, begun or gone on with, and what makes its rows; nothing is fitted anew where that was done."""
        begun = read_run(out) if (out / "run.json").exists() else None
        if begun:
            refuse_other(out, begun, {"method": describe(self.method)})
            check_bytes(out, begun["checksums"])
        else:
            check_empty(out)
        vectors = load_vectors(self.method, lm, out, begun) if begun else self._fit(lm, examples)
        _note_unused(self.method, vectors, self.projection, self.modules, self.row_type)
        run = {
            "method": describe(self.method),
            "model": lm.name,
            "dtype": str(lm.dtype).removeprefix("torch."),
            **lm.fingerprint(),
            **extra,
            "loss": examples.loss,
            "modules": self.modules,
            "seed": self.projection.seed,
            **vectors.settings,
            "row_type": self.row_type,
            "dim": vectors.dim,
            "data_hash": examples.fingerprint(),
            "read": dict(self.read),
        }
        if isinstance(vectors, Projector):
            run["projection"] = dataclasses.asdict(self.projection)  # what is asked for, to be compared with what is there
        if not begun:
            save_fitted(out, vectors.fitted)
        return GradientIndex.create(out, run, rows, self.append), vectors

    def _fit(self, lm: LM, examples: Examples) -> Vectors:
        method = self.method
        match method:
            case IndexMethod(vectors="gradients"):
                normalize, parameters = method.normalize if isinstance(method, Normalized) else "none", parameters_of(method)
                of = lm, self.projection, self.modules, examples
                return Projector.fit(*of, parameters=parameters, normalize=normalize)
            case IndexMethod():
                return plain_vectors(method, lm)
            case StreamMethod() | UnrolledMethod() | WholeMethod():
                layers = track(lm, parameters_of(method), self.modules)
                fitted = {} if isinstance(method, WholeMethod) else self._fitted(method, lm, examples, layers)
                settings = {"layers": list(layers), "groups": input_groups(lm, layers), "left_out": left_out(lm, layers)}
                return Nothing(fitted, settings)
            case TextMethod():
                return Nothing()

    def _fitted(self, method: StreamMethod | UnrolledMethod, lm: LM, examples: Examples, layers: Layers) -> Bases:
        with unchanged(method.name, lambda: {"layers": list(layers.items()), "examples": examples.fingerprint()}):
            fitted = returned(method, "fit", method.fit(lm, examples, layers, self.projection.seed), dict)
        for name, tensor in fitted.items():
            check_text(name, f"{method.name}: the name of a tensor that fit gave")
            returned(method, f"fit's {name!r}", tensor, Tensor)
        return fitted


def open_index(
    folder: str | Path, model: Given | None = None, device: str | None = None, *, method: type | TrainingMethod | None = None
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
