"""The parts of bench_trace that measure time and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.harness.jobs import ROOT, RefusedError, environment, run_job
from eval.harness.record import Figure, repeated
from eval.speed import topics
from eval.speed.peers.common import cpu_seconds
from eval.speed.peers.floor import run_floor
from eval.speed.peers.ours import write_index
from eval.speed.trace_setting import Bench
from llmattr.model.batches import plan
from llmattr.model.embedded import embedded_folder
from llmattr.text.rows import tokenize
from llmattr.training.gradients.capture import hooks
from llmattr.training.gradients.layers import linear_layers
from llmattr.training.gradients.passes import run_backward
from llmattr.training.index.search import Products, Top, Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Projection
from llmattr.training.vectors.projector import FIT_ROWS, Projector


def timed(work: Callable[[], Any]) -> float:
    """The CPU seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def build(bench: Bench) -> list[Figure]:
    """Rows of the default index against the floor, in interleaved rounds; the fit of the directions is apart."""
    return [figure for name, n in bench.size.build for figure in _build(bench, name, n)]


def _build(bench: Bench, name: str, n: int) -> list[Figure]:
    lm, ids, projectors = bench.lm(name), bench.data.rows[:n], []
    examples = tokenize(topics.texts(ids), lm.tokenizer)
    fit = [timed(lambda: projectors.append(Projector.fit(lm, Projection(), "", examples))) for _ in range(2)]
    floor, lean, ours = [], [], []
    for _ in range(bench.size.rounds):
        floor.append(timed(lambda: run_floor(lm.model, ids, bench.batch)))
        lean.append(timed(lambda: record_nothing(lm, examples)))
        ours.append(timed(lambda: write_index(projectors[0], examples, bench.new_folder())))
    least, middle = min(ours) / min(floor), float(np.median(np.divide(ours, floor)))
    over = {"over floor (min)": least, "over floor (median of rounds)": middle, "target": "1.10 at most"}
    return [
        {"what": "floor", "model": name, "rows": n, **repeated(floor)},
        {"what": "our passes, nothing recorded", "model": name, "rows": n, **repeated(lean)},
        {"what": "llmattr, rows", "model": name, "rows": n, **repeated(ours), **over},
        {"what": "llmattr, fit, once for an index", "model": name, "rows": min(n, FIT_ROWS), **repeated(fit)},
    ]


class Nothing:
    """A recorder that records nothing."""

    def keep(self, name: str, inputs: torch.Tensor) -> None:
        """Nothing of the inputs."""

    def gradient(self, name: str, kept: None, outputs: torch.Tensor) -> None:
        """Nothing of the gradients."""


def record_nothing(lm: Any, examples: Any) -> None:
    """Our own forward and backward passes, which start at the first tracked layer: a leaner floor than plain torch's."""
    with hooks(lm.model, linear_layers(lm), Nothing()):
        for batch in plan(examples):
            run_backward(lm, examples, batch)


def smollm2(bench: Bench) -> list[Figure]:
    """Real text through the embedded SmolLM2, each run in a process of its own: CPU seconds and peak memory of the phase."""
    if not bench.size.real or bench.text is None:
        bench.notes.append("not run: it needs --text FILE" if bench.size.real else "not run: too big for --tiny")
        return []
    folder, figures = embedded_folder("smollm2"), []
    rows = real_rows(folder, bench.text, bench.size.real, 64)
    runs: list[tuple[str, str, dict[str, Any]]] = [
        ("floor", sys.executable, {}),
        ("ours", sys.executable, {"kind": "principal", "width": 16, "dim": 1024}),
        ("ours", sys.executable, {"kind": "random", "width": 16, "dim": 1024}),
    ]
    if "bergson" in bench.peers:
        runs.append(("bergson", bench.peers["bergson"], {"width": 2}))
    fast = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if not fast:
        bench.notes.append("bfloat16 was not run: this processor has no instructions for it, and torch is many times slower")
    for dtype in ("float32", "bfloat16")[: 1 + fast]:
        for runner, python, options in runs:
            what = " ".join([runner, *[f"{key} {value}" for key, value in options.items()]])
            job = {"model": str(folder), "dtype": dtype, "method": "index", "batch": 32, **options}
            try:
                result, _ = run_job(runner, bench.new_folder(), rows, rows[:0], python, **job)
            except RefusedError as why:
                bench.notes.append(f"{what}, {dtype}, could not be run: {why}")
                continue
            seconds, peak = result["cpu_seconds"], result["peak_rss_mb"]
            tokens = {"tokens/s": rows.size / seconds["index"]}
            memory = {"index MiB": peak["index"], "fit MiB": peak.get("fit")}
            columns = {"index s": seconds["index"], "fit s": seconds.get("fit"), **tokens, **memory}
            figures.append({"what": what, "dtype": dtype, **columns, "index bytes": result.get("index_bytes")})
    return figures


def real_rows(model: Path, text: Path, n: int, length: int) -> np.ndarray:
    """The first n stretches [n, length] of the text's tokens that come out the same when they are written and read again."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = tokenizer(text.read_text(encoding="utf-8")[: n * length * 20], verbose=False)["input_ids"]
    parts = [ids[start : start + length] for start in range(0, len(ids) - length, length)]
    same = [part for part in parts if tokenizer(tokenizer.decode(part))["input_ids"] == part]
    if len(same) < n:
        raise ValueError(f"{text.name} is too short for {n} rows of {length} tokens")
    return np.array(same[:n], dtype=np.int32)


def scan(bench: Bench) -> list[Figure]:
    """The search of an index on one thread: 20 queries, the best and worst 100 rows, against a sum over its bytes."""
    n, dim = bench.size.scan
    random = np.random.default_rng(0)
    folder = bench.new_folder()
    index = GradientIndex.create(folder, {"data_hash": "", "row_type": "int8", "dim": dim}, [{"text": ""}] * n)
    for part in np.array_split(np.arange(n), max(1, n // 10_000)):
        index.write(part, random.standard_normal((len(part), dim), dtype=np.float32), np.zeros(len(part)))
    index.finish()
    index = GradientIndex.open(folder)
    queries = random.standard_normal((20, dim), dtype=np.float32)
    floor, ours = [], []
    for _ in range(bench.size.rounds):
        floor.append(timed(lambda: index.vectors.view(np.int64).sum()))
        ours.append(timed(lambda: search(index, queries, 100)))
    what = {"rows": n, "dim": dim}
    return [
        {"what": "reading every byte once (sum as int64)", **what, **repeated(floor)},
        {"what": "llmattr, scores and both ends", **what, **repeated(ours), "over reading": min(ours) / min(floor)},
    ]


def search(index: GradientIndex, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What `TraceIndex.query` does with the queries' rows."""
    best = Top(len(queries), k)
    for rows, scores in Products(index, Weighed(queries)):
        best.add(rows, scores)
    return best.result()


def imports(bench: Bench) -> list[Figure]:
    """CPU seconds of a new Python process; torch must not be there after `import llmattr`."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, llmattr; print('torch' in sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    commands = {
        "nothing": ["-c", "pass"],
        "import llmattr": ["-c", "import llmattr"],
        "llmattr trace --help": ["-m", "llmattr", "trace", "--help"],
    }
    figures = [
        {"what": what, **repeated([_process(words) for _ in range(bench.size.rounds)])} for what, words in commands.items()
    ]
    figures[1]["torch loaded"] = loaded
    return figures


def _process(words: list[str]) -> float:
    started = cpu_seconds() - time.process_time()  # the children's part
    subprocess.run([sys.executable, *words], cwd=ROOT, env={**os.environ, **environment()}, capture_output=True, check=True)
    return cpu_seconds() - time.process_time() - started
