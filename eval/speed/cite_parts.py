"""Speed of context attribution: the same outputs sooner, beside context-cite on the same model, text and masks."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.harness.jobs import RefusedError, run_job
from eval.harness.record import Figure
from llmattr.ablation import random_masks
from llmattr.metrics.stats import foretold

QUERY = "What do the texts say, and which of them agree?"
RESPONSE = (
    "The texts name people, places and years. The first tells where it happened and who took part in it, and another one says "
    "when it began. They agree on the country and on the year, but one of them calls the place by another name. None says "
    "why it ended, so that the question is only answered in part."
)


@dataclass(frozen=True)
class Size:
    """How much work: contexts of so many sentences, ablations of each, and rounds."""

    contexts: tuple[int, ...] = (12, 25, 50)
    growth: tuple[int, ...] = (25, 50, 100)
    ablations: int = 16
    rounds: int = 3


@dataclass(frozen=True)
class Bench:
    """What the parts share: the model's folder, sentences of a real text, the sizes, a folder, and context-cite's Python."""

    model: str
    sentences: Sequence[str]
    size: Size
    scratch: Path
    peer: str | None = None
    notes: list[str] = field(default_factory=list)

    def run(self, runner: str, n: int, number: Any, dtype: str = "float32", share: bool = True) -> Any:
        """One runner on a context of n sentences, in a process of its own."""
        python = {"python": self.peer} if runner == "contextcite" and self.peer else {}
        options = {"model": self.model, "dtype": dtype, "share": share, "query": QUERY, "response": RESPONSE}
        folder = self.scratch / f"{runner}-{dtype}-{share}-{n}-{number}"
        masks = random_masks(self.size.ablations, n)
        return run_job(runner, folder, masks, np.zeros(0), sentences=list(self.sentences[:n]), **options, **python)


def scoring(bench: Bench) -> list[Figure]:
    """The same masks scored by context-cite 0.0.4 at batch 1 and by the engine: CPU seconds of one thread for an ablation.

    Medians of rounds in which every engine runs once. The error is the largest difference of a token's log-probability; peak
    memory is the process's while it scores. Share of the rate: tokens of the ablated prompts x 2 x parameters / time, over the
    rate of the best matrix product; shared tokens count although they are not computed again. A later span: the fit on 64
    ablations of so many sources, its penalty chosen, with 100 bootstraps (context-cite: its fixed penalty, without errors).
    """
    engines: dict[str, dict[str, Any]] = {
        "context-cite 0.0.4": {"runner": "contextcite"},
        "response logits only": {"runner": "ours_cite", "share": False},
        "prefix tree": {"runner": "ours_cite"},
    }
    if _fast_bfloat16():
        engines["prefix tree, bfloat16"] = {"runner": "ours_cite", "dtype": "bfloat16"}
    else:
        bench.notes.append("bfloat16 is not measured: this processor does not multiply it faster than float32 (`fast_dtype`)")
    if not bench.peer:
        del engines["context-cite 0.0.4"]
        bench.notes.append("context-cite was not measured: give --peer context-cite=PYTHON")
    products = _product_rate()
    bench.notes.append(f"two 2048 x 2048 float32 matrices are multiplied at {products / 1e9:.0f} GFLOP/s on one thread")
    return [figure for n in bench.size.contexts for figure in _compared(bench, n, engines, products)]


def _compared(bench: Bench, n: int, engines: dict[str, dict[str, Any]], products: float) -> list[Figure]:
    found: dict[str, list[Any]] = {name: [] for name in engines}
    for number in range(bench.size.rounds):
        for name, how in engines.items():
            try:
                found[name].append(bench.run(**how, n=n, number=number))
            except RefusedError as error:
                bench.notes.append(f"{name}, {n} sentences: {error}")
    seconds = {name: [result["cpu_seconds"]["score"] for result, _ in runs] for name, runs in found.items() if runs}
    base = next(iter(seconds))
    figures = []
    for name, times in seconds.items():
        result, log_odds = found[name][0]
        reference, reference_odds = found[base][0]
        error = np.abs(np.logaddexp(0, -log_odds) - np.logaddexp(0, -reference_odds)).max()
        alike = foretold(np.array([result["values"]]), np.array([reference["values"]]))[0]
        figures.append(
            {
                "sentences": n,
                "engine": name,
                "s per ablation": statistics.median(times) / bench.size.ablations,
                "times as fast": statistics.median(seconds[base]) / statistics.median(times),
                "largest error, nats": float(error),
                "rank correlation of scores": float(alike),
                "peak MB": max(result["peak_rss_mb"]["score"] for result, _ in found[name]),
                **_rates(found[name], times, products),
                "a later span, s": statistics.median(result["cpu_seconds"]["span"] for result, _ in found[name]),
                "seconds": times,
            }
        )
    return figures


def _rates(runs: list[Any], times: list[float], products: float) -> Figure:
    result = runs[0][0]
    if "tokens" not in result:
        return {}
    return {"share of the rate": result["tokens"] * 2 * result["parameters"] / statistics.median(times) / products}


def growth(bench: Bench) -> list[Figure]:
    """Cost as the context grows: CPU seconds of the prefix tree per ablation and per 1,000 tokens, and peak memory."""
    figures = []
    for n in bench.size.growth:
        runs = [bench.run("ours_cite", n, f"growth{k}")[0] for k in range(bench.size.rounds)]
        seconds = statistics.median(run["cpu_seconds"]["score"] for run in runs)
        peak = max(run["peak_rss_mb"]["score"] for run in runs)
        tokens = runs[0]["tokens"]
        figures.append(
            {
                "sentences": n,
                "prompt tokens": runs[0]["prompt"],
                "s per ablation": seconds / bench.size.ablations,
                "s per 1000 tokens": seconds / tokens * 1000,
                "peak MB": peak,
            }
        )
    return figures


def _product_rate(size: int = 2048) -> float:
    one = torch.randn(size, size)
    seconds = []
    for _ in range(6):
        started = time.process_time()
        one @ one
        seconds.append(time.process_time() - started)
    return 2 * size**3 / min(seconds[1:])


def _fast_bfloat16() -> bool:
    from llmattr.model.lm import fast_dtype

    return fast_dtype("cpu") == "bfloat16"
