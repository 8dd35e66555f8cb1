"""The parts of bench_trace that compare scores: with exact inner products, between EK-FACs, with the peers."""

import sys
from typing import Any

import numpy as np
from jaxtyping import Int

import llmattr
from eval.harness.jobs import RefusedError, run_job
from eval.harness.record import Figure
from eval.speed import topics
from eval.speed.peers.floor import run_floor
from eval.speed.trace_parts import timed
from eval.speed.trace_setting import Bench
from eval.training.scoring import dense
from llmattr import metrics
from llmattr.metrics.shapes import Scores
from llmattr.training.methods import Ekfac, GradDot
from llmattr.training.projection import Projection

PEERS = {"bergson": ("index", "ekfac"), "dattri": ("index",), "traker": ("index",), "kronfluence": ("ekfac",)}


def spearman(one: Scores, other: Scores) -> float:
    """Rank correlation over all rows."""
    return float(metrics.spearman(one, other).mean())


def overlap(one: Scores, other: Scores, k: int = 10) -> float:
    """The share of the k highest that both have."""
    return float(metrics.top_k_overlap(one, other, k).mean())


def own_topic(scores: Scores, queries: Int[np.ndarray, " t"], rows: Int[np.ndarray, " n"], k: int = 10) -> float:
    """The share of the k highest that are of the query's own topic."""
    return float(metrics.precision_at_k(scores, rows == queries[:, None], k).mean())


def agreement(bench: Bench, scores: np.ndarray | None) -> Figure:
    """The columns that compare scores with exact inner products, and with the topics."""
    if scores is None:
        return {}
    rows = bench.data.topics[: bench.size.rows]
    return {
        "rho to exact": spearman(scores, bench.exact),
        "top 10 shared": overlap(scores, bench.exact),
        "top 10 own topic": own_topic(scores, bench.data.query_topics, rows),
    }


def fidelity(bench: Bench) -> list[Figure]:
    """Projected against exact inner products on the Llama: Spearman over all rows, the shared top 10, bytes of a row."""
    wide = bench.size.wide
    sketches = [
        ("principal", Projection("principal", 1024, 16), "rho .78, shared .80"),
        ("principal, the default", Projection(), ""),
        ("principal", Projection("principal", wide, 16), "rho .90"),
        ("principal, no complement", Projection("principal", 1024, 16, 0.0), ""),
        ("principal, no complement", Projection("principal", wide, 32, 0.0), ""),
        ("principal, sketched whole", Projection("principal", 1024, 16, 0.999), ""),
        ("random, as the peers' LoGra", Projection("random", 1024, 6), ""),
    ]
    lm, figures = bench.lm("llama"), []
    rows, queries = topics.texts(bench.rows), topics.texts(bench.data.queries)
    for what, projection, target in sketches:
        index = llmattr.build_index(lm, rows, bench.new_folder(), GradDot(parameters="blocks"), projection=projection)
        scores = dense(index.query(queries, top=None, foreign=0))
        size = (index.index.folder / "vectors.bin").stat().st_size / len(rows) + 4  # and its scale
        columns = {"width": projection.width, "dim": index.index.run["dim"], "bytes": int(size)}
        figures.append({"what": f"{what}, int8", **columns, **agreement(bench, scores), "target": target})
    exact = {"what": "exact", "dim": None, "bytes": None, **agreement(bench, bench.exact)}
    return [*figures, exact]


def ekfac(bench: Bench) -> list[Figure]:
    """EK-FAC on the Llama, fit, queries and scores of all rows in one call, against the floor over the same rows."""
    lm, answers, shape = bench.lm("llama"), [], {"rows": len(bench.rows), "queries": len(bench.data.queries)}
    rows, queries = topics.texts(bench.rows), topics.texts(bench.data.queries)
    before = timed(lambda: run_floor(lm.model, bench.rows, bench.batch))
    seconds = timed(lambda: answers.append(llmattr.trace(bench.lm("llama"), rows, queries, Ekfac(parameters="blocks"))))
    after = timed(lambda: run_floor(lm.model, bench.rows, bench.batch))
    floor = (before + after) / 2
    ours = {"seconds": seconds, "over floor": seconds / floor, "target": "4 at most"}
    return [
        {"what": "floor (mean of before and after)", **shape, "seconds": floor},
        {"what": "llmattr, ekfac", **shape, **ours, **agreement(bench, dense(answers[0]))},
    ]


def peers(bench: Bench) -> list[Figure]:
    """The same job by each package, in a process of its own: rows of about 1,000 numbers, or EK-FAC; then the queries.

    On the Llama, one thread, without imports and loading. Rho and the top 10 are as in `fidelity`; EK-FAC does not aim at plain
    products and is compared with llmattr's EK-FAC too.
    """
    figures: list[Figure] = []
    found: dict[str, Any] = {}
    for runner, python, method, options in _runs(bench):
        try:
            figure, scores = _peer(bench, runner, python, method, options)
        except RefusedError as why:
            bench.notes.append(f"{runner}, {method}, could not be run: {why}")
            continue
        if method == "ekfac":
            found[runner] = scores
            figure["rho to our ekfac"] = spearman(scores, found["ours"]) if "ours" in found else None
        figures.append(figure)
    return figures


def _runs(bench: Bench) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Runner, Python, method and options of every run."""
    own, small = sys.executable, {"width": 6, "dim": 1024, "kind": "random"}
    runs = [("ours", own, "index", {"width": 16, "dim": 1024, "kind": "principal"})]
    if not bench.size.peers:
        bench.notes.append("no peers: --tiny")
        return runs
    runs = [("floor", own, "index", {}), *runs, ("ours", own, "index", small)]
    runs.append(("ours", own, "ekfac", {}))
    for name, methods in PEERS.items():
        if name not in bench.peers:
            bench.notes.append(f"{name} was not run: no --peer {name}=PYTHON")
            continue
        runs += [(name, bench.peers[name], method, small) for method in methods]
    return runs


def _peer(bench: Bench, runner: str, python: str, method: str, options: dict[str, Any]) -> tuple[Figure, np.ndarray | None]:
    folder, job = bench.new_folder(), {"dtype": "float32", "method": method, "batch": bench.batch, **options}
    model = str(bench.folder("llama"))
    result, scores = run_job(runner, folder, bench.rows, bench.data.queries, python, model=model, **job)
    seconds, shape = result["cpu_seconds"], f" {options['kind']} w{options['width']}" if runner == "ours" and options else ""
    if "note" in result:
        bench.notes.append(f"{runner}, {method}: {result['note']}")
    phases = {f"{phase} s": seconds.get(phase) for phase in ("fit", "index", "score")}
    total = sum(value for phase, value in seconds.items() if not phase.startswith("measured"))
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if name != "transformers")
    memory = {"peak MiB": max(result["peak_rss_mb"].values()), "index bytes": result.get("index_bytes")}
    figure = {"what": runner + shape, "method": method, **phases, "all s": total, **memory, **agreement(bench, scores)}
    return {**figure, "versions": versions}, scores
