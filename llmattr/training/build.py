"""How an index is built: what a method keeps of every row, of one checkpoint or of several."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from llmattr.core.method import describe
from llmattr.core.processes import is_main
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError, check_text, note
from llmattr.model.batches import batch_tokens
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.checkpoints import learning_rates_of, refuse_other_run, spans_of
from llmattr.training.contract import (
    IndexMethod,
    ModelMethod,
    Normalized,
    StreamMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
    has_momentum,
    parameters_of,
)
from llmattr.training.gradients.layers import Layers, input_groups
from llmattr.training.gradients.project import Bases
from llmattr.training.gradients.untracked import left_out, track
from llmattr.training.index.files import VERSION, check_bytes, read_run, save_run
from llmattr.training.index.store import GradientIndex, check_empty, refuse_other
from llmattr.training.loaded import load_vectors, plain_vectors
from llmattr.training.methods import METHODS
from llmattr.training.methods.products import Less, TracIn
from llmattr.training.methods.unrolled import Source
from llmattr.training.projection import Projection
from llmattr.training.vectors.contract import Vectors
from llmattr.training.vectors.fill import fill
from llmattr.training.vectors.plain import Nothing
from llmattr.training.vectors.projector import Projector, save_fitted

WEIGHED = (TracIn, Less, Source)  # whose checkpoints count by their learning rates
PROJECTED_BY = {"principal": ("dim", "width", "complement"), "random": ("dim", "width"), "rademacher": ("dim",), "identity": ()}


def build_each(
    build: "Build", models: list[Any], learning_rates: Sequence[float], rows: Sequence[dict[str, Any]], out: Path
) -> list[Checkpoint]:
    """The indexes of several checkpoints; a model that was loaded for its index is not kept."""
    _check_parent(out)
    parts = []
    if learning_rates and isinstance(build.method, tuple(METHODS.values())) and not isinstance(build.method, WEIGHED):
        note(f"{build.method.name} counts all checkpoints alike and makes no use of --learning-rates")
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


def note_unused(method: TrainingMethod, vectors: Vectors, projection: Projection, modules: str, row_type: str) -> None:
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
class Build:
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

    def __call__(self, model: object, rows: Sequence[dict[str, Any]], out: Path, extra: dict[str, Any]) -> Checkpoint:
        """The finished index of a model's rows; `extra`: further fields of its record."""
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
        note_unused(self.method, vectors, self.projection, self.modules, self.row_type)
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
                return Projector.fit(*of, parameters=parameters, normalize=normalize, steps=has_momentum(method))
            case IndexMethod():
                return plain_vectors(method, lm)
            case StreamMethod() | UnrolledMethod() | WholeMethod():
                layers = track(lm, parameters_of(method), self.modules)
                fitted = {} if isinstance(method, WholeMethod) else self._fitted(method, lm, examples, layers)
                settings = {"layers": list(layers), "groups": input_groups(lm, layers), "left_out": left_out(lm, layers)}
                return Nothing(fitted, settings)

    def _fitted(self, method: StreamMethod | UnrolledMethod, lm: LM, examples: Examples, layers: Layers) -> Bases:
        with unchanged(method.name, lambda: {"layers": list(layers.items()), "examples": examples.fingerprint()}):
            fitted = returned(method, "fit", method.fit(lm, examples, layers, self.projection.seed), dict)
        for name, tensor in fitted.items():
            check_text(name, f"{method.name}: the name of a tensor that fit gave")
            returned(method, f"fit's {name!r}", tensor, Tensor)
        return fitted
