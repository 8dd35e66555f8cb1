"""`build_index`, `open_index` and `trace`: which training examples made the model say this?"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmattr.errors import LlmattrError, check_number
from llmattr.lm import LM
from llmattr.method import check_options, describe, find_method
from llmattr.saved import write
from llmattr.training import METHODS
from llmattr.training.capture import linear_layers
from llmattr.training.checkpoints import checkpoints_of, learning_rates_of
from llmattr.training.curvature import LoGra
from llmattr.training.data import Examples, read_rows, row_text, tokenize
from llmattr.training.features import Encoded, HiddenStates, Nothing
from llmattr.training.gradient import (
    Features,
    Projector,
    fill,
    fingerprint,
    load_fitted,
    project,
    save_fitted,
    tracked,
)
from llmattr.training.index import DTYPES, VERSION, GradientIndex, Projection, check_empty, read_run, refuse_difference
from llmattr.training.influence import Stream
from llmattr.training.project import input_groups
from llmattr.training.search import Block, Top, added, products
from llmattr.training.stream import Layered, self_products, streamed
from llmattr.types import Attribution, Sources, Targets

Queries = str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]
EXACT = {
    "grad-dot": Stream("dot"),
    "grad-cos": Stream("cosine"),
}  # methods whose scores can be computed again with whole gradients


def build_index(
    model: Any,
    data: Any,
    out: str | Path,
    method: Any = LoGra(),
    *,
    projection: Projection = Projection(),
    modules: str = "",
    row_type: str = "int8",
    strict: bool = False,
    append: bool = False,
    checkpoints: str | Path | Sequence[Any] = (),
    learning_rates: Sequence[float] = (),
    dtype: str | None = None,
    device: str | None = None,
) -> "TraceIndex":
    """Write what a method needs of every training example into the folder `out`, or go on where a run was killed.

    `data`: a JSON-lines, CSV or parquet file, a folder saved by `datasets`, a hub id, a Dataset or a list of dicts, with the
    columns `text` (all tokens count), `prompt` + `completion` (the completion) or `messages` (the assistant). `modules`: a
    regular expression for the names of the linear layers to track. `row_type`: int8, float16 or float32. `append`: add the data
    to a finished index. `checkpoints`: several models instead of one (their scores are added), or the folder in which a Trainer
    left them, with TracIn's `learning_rates` (from trainer_state.json where none are given). Raises `LlmattrError` for what the
    user can mend.
    """
    method = find_method(method, METHODS)
    check_options(projection)
    if row_type not in DTYPES:
        raise LlmattrError(f"rows are stored as {', '.join(DTYPES)}, not as {row_type!r}")
    given, out = read_rows(data), Path(out)
    build = _Build(method, projection, modules, row_type, strict, append, dtype, device)
    if not checkpoints:
        return TraceIndex([build(model, given, out, {})])
    _check_parent(out)
    models, parts = checkpoints_of(checkpoints), []
    for number, (one, rate) in enumerate(zip(models, learning_rates_of(models, learning_rates), strict=True)):
        extra = {"checkpoints": len(models)} | ({} if rate is None else {"learning_rate": rate})
        parts.append(build(one, given, out / f"checkpoint-{number}", extra))
    write(out / "run.json", json.dumps({"version": VERSION, "folders": [part.index.folder.name for part in parts]}))
    return TraceIndex(parts)


def _check_parent(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(path.name != "run.json" and not path.name.startswith("checkpoint-") for path in out.iterdir()):
        raise LlmattrError(f"{str(out)!r} is not empty and no index of checkpoints: give another --out")


@dataclass(frozen=True, eq=False)
class _Build:
    """How one checkpoint's index is built."""

    method: Any
    projection: Projection
    modules: str
    row_type: str
    strict: bool
    append: bool
    dtype: str | None
    device: str | None

    def __call__(self, model: Any, rows: list[dict[str, Any]], out: Path, extra: dict[str, Any]) -> "Checkpoint":
        from accelerate import PartialState

        processes = PartialState(cpu=self.device == "cpu") if self.device == "cpu" else PartialState()
        several = processes.num_processes > 1
        lm = LM.load(model, self.dtype, str(processes.device) if several and self.device is None else self.device)
        examples = tokenize(rows, lm.tokenizer, lm.window, self.strict, lm.kind)
        with processes.main_process_first():
            index, features = self._begin(lm, rows, examples, out, extra)
        fill(index, features, examples, self.method.measure, processes.process_index, processes.num_processes)
        processes.wait_for_everyone()
        if processes.is_main_process:
            if not index.done.all():  # a process with smaller batches may have left some
                fill(index, features, examples, self.method.measure)
            index.finish()
        processes.wait_for_everyone()
        return Checkpoint(GradientIndex.open(out), lm)

    def _begin(
        self, lm: LM, rows: list[dict[str, Any]], examples: Examples, out: Path, extra: dict[str, Any]
    ) -> tuple[GradientIndex, Features]:
        """The index, begun or gone on with, and what makes its rows; nothing is fitted anew where that was done."""
        begun = (out / "run.json").exists()
        features = load_features(self.method, lm, out, read_run(out)) if begun else self._fit(lm, examples)
        run = {
            "method": describe(self.method),
            "model": lm.name,
            "dtype": str(lm.dtype).removeprefix("torch."),
            **fingerprint(lm),
            **extra,
            "loss": examples.loss,
            "modules": self.modules,
            "seed": self.projection.seed,
            **features.settings,
            "row_type": self.row_type,
            "dim": features.dim,
            "data_hash": examples.fingerprint(),
        }
        if isinstance(features, Projector):
            run["projection"] = dataclasses.asdict(self.projection)  # what is asked for, to be compared with what is there
        if not begun:
            check_empty(out)
            save_fitted(out, features.fitted)
        return GradientIndex.create(out, run, rows, self.append), features

    def _fit(self, lm: LM, examples: Examples) -> Features:
        kind = getattr(self.method, "features", None)
        if kind == "gradients":
            normalize: Any = getattr(self.method, "normalize", "none")
            return Projector.fit(lm, self.projection, self.modules, examples, normalize)
        if kind or hasattr(self.method, "retrieve"):
            return load_features(self.method, lm, Path(), {})
        layers = linear_layers(lm, self.modules)
        fitted = self.method.fit(lm, examples, layers, self.projection.seed) if hasattr(self.method, "fit") else {}
        return Nothing(fitted, {"layers": list(layers), "groups": input_groups(lm, layers)})


def load_features(method: Any, lm: LM, folder: Path, run: dict[str, Any]) -> Features:
    """What makes the rows of the index in this folder."""
    kind = getattr(method, "features", None)
    if kind == "gradients":
        projection = Projection(**run["projection"])
        return Projector(lm, projection, tracked(lm, run), run["groups"], load_fitted(lm, folder))
    if kind == "hidden states":
        return HiddenStates(lm, method.layer)
    if kind == "embeddings":
        return Encoded(method.encoder)
    return Nothing(load_fitted(lm, folder), {key: run[key] for key in ("layers", "groups") if key in run})


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The index of one checkpoint, and its model: given, or where run.json says it is."""

    index: GradientIndex
    model: Any = None

    def load(self) -> LM:
        """The model, after checking that it is the one that the index was made with."""
        if isinstance(self.model, LM):
            return self.model
        lm = LM.load(self.index.run["model"] if self.model is None else self.model, self.index.run["dtype"])
        folder = str(self.index.folder)
        refuse_difference(self.index.run, fingerprint(lm), f"the index {folder!r} was built with another model or tokenizer")
        return lm

    def scores(self, method: Any, lm: LM, asked: Examples, rows: Sequence[int] | None) -> tuple[Iterator[Block], Any]:
        """Scores of the training rows block by block, and the factor of rows that is averaged over checkpoints."""
        index = self.index
        if hasattr(method, "weigh"):
            weighed = method.weigh(index, project(load_features(method, lm, index.folder, index.run), asked, method.measure))
            return products(index, weighed), weighed.outer
        if hasattr(method, "retrieve"):
            found = method.retrieve([row_text(row) for row in index.rows()], [row_text(row) for row in asked.rows])
            return iter([(np.arange(len(index)), found)]), None
        train = tokenize(index.rows(), lm.tokenizer, lm.window, model=lm.kind)
        return streamed(method, self.layered(lm), train, asked, rows), None

    def layered(self, lm: LM) -> Layered:
        """The model with its tracked layers and what was fitted for them."""
        run = self.index.run
        return Layered(lm, tracked(lm, run), run["groups"], load_fitted(lm, self.index.folder), run["seed"])


def open_index(folder: str | Path, model: Any = None) -> "TraceIndex":
    """Open a finished index; `model` where it is not at the place that the index names.

    Raises `LlmattrError` for a folder that is no index, is half built or of another version, and for another model.
    """
    folder = Path(folder)
    names = read_run(folder).get("folders")
    if names is None:
        checkpoint = Checkpoint(GradientIndex.open(folder), model)
        return TraceIndex([Checkpoint(checkpoint.index, checkpoint.load())])
    return TraceIndex([Checkpoint(GradientIndex.open(folder / name)) for name in names])


def trace(
    model: Any, data: Any, queries: Queries, method: Any = LoGra(), top: int | None = None, **options: Any
) -> Attribution:
    """Attribute queries to training data in one call: an index in a temporary folder, asked once. `top` None = every row."""
    with tempfile.TemporaryDirectory() as folder:
        return build_index(model, data, Path(folder) / "index", method, **options).query(queries, top)


@dataclass(frozen=True, eq=False)
class TraceIndex:
    """A finished index with its model, ready for questions; of several checkpoints the scores are added."""

    checkpoints: Sequence[Checkpoint]

    @property
    def index(self) -> GradientIndex:
        """The (first) checkpoint's index."""
        return self.checkpoints[0].index

    def __len__(self) -> int:
        return len(self.index)

    def query(
        self,
        queries: Queries,
        top: int | None = 10,
        *,
        tokens: bool = False,
        rerank: int = 0,
        rows: Sequence[int] | None = None,
    ) -> Attribution:
        """Scores of the training rows that support each query most and of those that oppose it most (`top` of each).

        `queries`: rows like the training data (`prompt` + `completion`, `text`, `messages`), or a file of them. `tokens`: every
        counted token is a target of its own; their scores add up to the query's where the method is linear. `rerank`: so many
        of grad-dot's or grad-cos' best and worst rows are scored again with whole gradients. `rows`: score only these, for
        methods without an index. Returns values [t, k], highest first, positive = the row made the completion likelier; the
        sources are the rows that were returned.
        """
        if top is not None:
            check_number("top", top, 1, whole=True)
        started = time.perf_counter()
        method = saved_method(self.index.run["method"])
        self._check(method, rerank, rows)
        given = _read_queries(queries)
        values, found, asked = self._search(method, given, tokens, max(top or len(self), rerank), rows)
        if rerank:
            values, found, asked = self._search(EXACT[method.name], given, tokens, top or len(self), np.unique(found).tolist())
        if top is not None:
            values, found = _ends(values, top), _ends(found, top)
        run = {**self.index.run, "seconds": {"query": time.perf_counter() - started}, "rerank": rerank}
        return _attribution(values, found, given, asked if tokens else None, self.index.rows(), method, run)

    def _check(self, method: Any, rerank: int, rows: Sequence[int] | None) -> None:
        if rerank and method.name not in EXACT:
            raise LlmattrError(f"rerank scores {' and '.join(EXACT)} again, not {method.name}: ask an index of ekfac or stream")
        if rows is not None and not (hasattr(method, "transform") or hasattr(method, "precondition")):
            raise LlmattrError(f"{method.name} scores every row of its index: rows are chosen for methods without one (ekfac)")
        if rows is not None and not all(0 <= row < len(self) for row in rows):
            raise LlmattrError(f"rows are numbered from 0 to {len(self) - 1}")

    def _search(self, method: Any, given: Any, tokens: bool, top: int, rows: Any) -> tuple[Any, Any, "Asked"]:
        parts, outers, asked = [], [], None
        for checkpoint in self.checkpoints:
            lm = checkpoint.load()
            examples = tokenize(given, lm.tokenizer, lm.window, model=lm.kind)
            examples = examples.each_token() if tokens else examples
            asked = asked or Asked(examples, lm.tokenizer)
            blocks, outer = checkpoint.scores(method, lm, examples, rows)
            parts.append(blocks)
            outers.append(outer)
        assert asked is not None
        factor = None if outers[0] is None else np.mean(outers, axis=0)
        best = Top(len(asked.examples), top)
        for numbers, scores in added(parts):
            best.add(numbers, scores if factor is None else scores * factor[numbers])
        return *best.result(), asked

    def self_influence(self, top: int | None = None) -> Attribution:
        """Every training row's score for itself: the highest are unusual, hard or mislabelled rows, which the model memorised.

        One target, "the row itself"; needs a method on an index of gradients, or stream or ekfac.
        """
        method = saved_method(self.index.run["method"])
        total: Any = 0
        for checkpoint in self.checkpoints:
            total = total + _self_scores(checkpoint, method)
        best = Top(1, top or len(self))
        best.add(np.arange(len(self)), total[None])
        run = {**self.index.run, "queries": []}  # nothing was asked
        return _attribution(*best.result(), [{"completion": "the row itself"}], None, self.index.rows(), method, run)


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries as tokens, with the tokenizer that made them."""

    examples: Examples
    tokenizer: Any

    def pieces(self) -> list[str]:
        """The text of each example's counted tokens."""
        pairs = zip(self.examples.ids, self.examples.counted, strict=True)
        return [self.tokenizer.decode(np.asarray(ids)[counted]) for ids, counted in pairs]


def _ends(columns: np.ndarray, top: int) -> np.ndarray:
    """The first and last `top` columns."""
    return columns if columns.shape[1] <= 2 * top else np.concatenate([columns[:, :top], columns[:, -top:]], axis=1)


def _self_scores(checkpoint: Checkpoint, method: Any) -> np.ndarray:
    index = checkpoint.index
    if getattr(method, "features", None) == "gradients":
        parts = []
        for start, block in index.blocks():
            weighed = method.weigh(index, block)
            factor = weighed.factor if weighed.outer is None else weighed.outer
            scores = np.einsum("bd,bd->b", weighed.queries, block.astype(np.float64))
            parts.append(scores if factor is None else scores * factor[start : start + len(block)])
        return np.concatenate(parts)
    if not hasattr(method, "transform"):
        raise LlmattrError(f"{method.name} has no score of a row for itself: take an index of gradients, stream or ekfac")
    lm = checkpoint.load()
    rows = tokenize(index.rows(), lm.tokenizer, lm.window, model=lm.kind)
    return self_products(method, checkpoint.layered(lm), rows)


def _read_queries(queries: Queries) -> list[dict[str, Any]]:
    if isinstance(queries, str) and not Path(queries).exists():
        raise LlmattrError(f"{queries!r:.60} is no file: ask with {{'prompt': ..., 'completion': ...}}")
    return read_rows([queries] if isinstance(queries, Mapping) else queries)


def saved_method(saved: Mapping[str, Any]) -> Any:
    """The method that a run.json records."""
    find_method(saved["name"], METHODS)
    return METHODS[saved["name"]](**{key: value for key, value in saved.items() if key != "name"})


def _attribution(
    values: Any, found: Any, queries: Any, asked: Asked | None, rows: Any, method: Any, run: dict[str, Any]
) -> Attribution:
    returned, index = np.unique(found, return_inverse=True)
    texts = [row_text(rows[i]) for i in returned]
    run = {"queries": [_parts(row) for row in queries], **run}
    response, spans = None, None
    said = [row.get("completion") or row_text(row) for row in queries]
    if asked is not None:
        said = asked.pieces()
        if len(queries) == 1:
            response, spans = "".join(said), _spans(said)
        else:
            counts = [sum(example is row for example in asked.examples.rows) for row in queries]
            run["queries"] = [_parts(row) for row, count in zip(queries, counts, strict=True) for _ in range(count)]
    return Attribution(
        values=values,
        index=index.reshape(values.shape),
        sources=Sources("training rows", [str(i) for i in returned], texts),
        targets=Targets(said, spans, measure=method.measure if method.family == "predictive" else "similarity"),
        unit="inner products of gradients" if method.family == "predictive" else "similarities",
        method=describe(method),
        run={key: value for key, value in run.items() if key not in ("method", "layers", "groups", "checksums")},
        response=response,
    )


def _parts(row: Mapping[str, Any]) -> dict[str, str]:
    """A query as the report shows it."""
    if row.get("completion") is not None:
        return {"prompt": row.get("prompt", ""), "completion": row["completion"]}
    return {"prompt": "", "completion": row_text(row)}


def _spans(pieces: Sequence[str]) -> np.ndarray:
    """Where pieces stand in the text that they make."""
    ends = np.cumsum([len(piece) for piece in pieces])
    return np.stack([np.append(0, ends[:-1]), ends], axis=1)
