"""`build_index`, `open_index` and `trace`: which training examples made the model say this?"""

import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmattr.errors import LlmattrError, check_number
from llmattr.lm import LM
from llmattr.method import check_options, describe, find_method
from llmattr.training import METHODS
from llmattr.training.curvature import LoGra
from llmattr.training.data import read_rows, row_text, tokenize
from llmattr.training.gradient import Projector, fill, fingerprint, project
from llmattr.training.index import DTYPES, GradientIndex, Projection, Top, refuse_difference
from llmattr.types import Attribution, Sources, Targets

Queries = str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def build_index(
    model: Any,
    data: Any,
    out: str | Path,
    method: Any = LoGra(),
    *,
    projection: Projection = Projection(),
    modules: str = "",
    dtype: str = "int8",
    strict: bool = False,
) -> "TraceIndex":
    """Write one row of projected gradient for every training example into the folder `out`, or go on where a run was killed.

    `data`: a JSON-lines, CSV or parquet file, a folder saved by `datasets`, a hub id, a Dataset or a list of dicts, with the
    columns `text` (all tokens count), `prompt` + `completion` (the completion) or `messages` (the assistant). `modules`: a
    regular expression for the names of the linear layers to track. Raises `LlmattrError` for what the user can mend.
    """
    method = find_method(method, METHODS)
    check_options(projection)
    if dtype not in DTYPES:
        raise LlmattrError(f"rows are stored as {' or '.join(DTYPES)}, not as {dtype!r}")
    rows = read_rows(data)
    lm = LM.load(model)
    examples = tokenize(rows, lm.tokenizer, lm.window, strict)
    projector = Projector.fit(lm, projection, modules, examples)
    run = {
        "method": describe(method),
        "model": lm.name,
        **fingerprint(lm),
        "data_hash": examples.fingerprint(),
        "loss": examples.loss,
        "projection": dataclasses.asdict(projection),
        "layers": list(projector.layers),
        "groups": projector.groups,
        "row_type": dtype,
        "n": len(examples),
        "dim": projector.recorder().dim,
    }
    index = GradientIndex.create(Path(out), run, rows)
    if not index.done.any():
        projector.save(index.folder)
    fill(index, Projector.load(lm, index), examples, method.measure)
    index.finish()
    return TraceIndex(GradientIndex.open(out), lm)


def open_index(folder: str | Path, model: Any = None) -> "TraceIndex":
    """Open a finished index; `model` where it is not at the place that the index names.

    Raises `LlmattrError` for a folder that is no index, is half built or of another version, and for another model.
    """
    index = GradientIndex.open(folder)
    lm = LM.load(index.run["model"] if model is None else model)
    refuse_difference(index.run, fingerprint(lm), f"the index {str(folder)!r} was built with another model or tokenizer")
    return TraceIndex(index, lm)


def trace(
    model: Any, data: Any, queries: Queries, method: Any = LoGra(), top: int | None = None, **options: Any
) -> Attribution:
    """Attribute queries to training data in one call: an index in a temporary folder, asked once. `top` None = every row."""
    with tempfile.TemporaryDirectory() as folder:
        return build_index(model, data, Path(folder) / "index", method, **options).query(queries, top)


@dataclass(frozen=True, eq=False)
class TraceIndex:
    """A finished index with its model, ready for questions."""

    index: GradientIndex
    lm: LM

    def __len__(self) -> int:
        return len(self.index)

    def query(self, queries: Queries, top: int | None = 10) -> Attribution:
        """Scores of the training rows that support each query most and of those that oppose it most (`top` of each).

        `queries`: rows like the training data (`prompt` + `completion`, `text`, `messages`), or a file of them. Returns values
        [t, k], highest first, positive = the row made the completion likelier; the sources are the rows that were returned.
        """
        if top is not None:
            check_number("top", top, 1, whole=True)
        started = time.perf_counter()
        method = find_method(_method(self.index.run["method"]), METHODS)
        rows = read_rows([queries] if isinstance(queries, Mapping) else queries)
        asked = project(Projector.load(self.lm, self.index), tokenize(rows, self.lm.tokenizer, self.lm.window), method.measure)
        weighed, factor = method.weigh(self.index, asked)
        best = Top(len(rows), len(self) if top is None else top)
        for start, block in self.index.blocks():
            scores = weighed @ block.T.astype(np.float64)
            part = np.arange(start, start + len(block))
            best.add(part, scores if factor is None else scores * factor[part])
        run = {**self.index.run, "seconds": {"query": time.perf_counter() - started}}
        return _attribution(*best.result(), rows, self.index.rows(), method, run)


def _method(saved: Mapping[str, Any]) -> Any:
    """The method that a run.json records."""
    find_method(saved["name"], METHODS)
    return METHODS[saved["name"]](**{key: value for key, value in saved.items() if key != "name"})


def _attribution(values: Any, found: Any, queries: Any, rows: Any, method: Any, run: dict[str, Any]) -> Attribution:
    returned, index = np.unique(found, return_inverse=True)
    texts = [row_text(rows[i]) for i in returned]
    return Attribution(
        values=values,
        index=index.reshape(values.shape),
        sources=Sources("training rows", [str(i) for i in returned], texts),
        targets=Targets([row.get("completion") or row_text(row) for row in queries], measure=method.measure),
        unit="inner products of projected gradients",
        method=describe(method),
        run={key: value for key, value in run.items() if key not in ("method", "layers", "groups")},
    )
