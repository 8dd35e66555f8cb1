"""The contract of the runners, on torch, numpy and transformers alone.

A runner reads from its folder `job.json` (`Job.options`), `rows.npy` [n, s] and `queries.npy` [t, s], and for each the tokens
that count (`rows_labels.npy`, `IGNORED` elsewhere; without it all). It writes `result.json` ({"cpu_seconds": {...},
"peak_rss_mb": {...}, "index_bytes", "versions"}) and `scores.npy` [t, n], higher = more support.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

IGNORED = -100  # the label of a token that does not count, as transformers has it


class Clock:
    """CPU seconds (children's too) and peak memory of each phase: `with clock("index"): ...`."""

    def __init__(self) -> None:
        self.cpu_seconds: dict[str, float] = {}
        self.peak_rss_mb: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Measure what is done inside."""
        _forget_peak()
        started = cpu_seconds()
        yield
        self.cpu_seconds[phase] = cpu_seconds() - started
        self.peak_rss_mb[phase] = _peak_mb()


def cpu_seconds() -> float:
    """CPU seconds of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _forget_peak() -> None:
    """Let Linux count the peak anew; elsewhere it is that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held before it started this process
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


@dataclass(frozen=True, eq=False)
class Job:
    """What to do. `options`: model (a folder), dtype, method ("index" or "ekfac"), width, dim, batch (rows at once)."""

    folder: Path
    options: dict[str, Any]
    rows: np.ndarray
    queries: np.ndarray
    row_labels: np.ndarray
    query_labels: np.ndarray
    clock: Clock = field(default_factory=Clock)

    @staticmethod
    def read(folder: Path) -> "Job":
        """The job of a folder."""
        options = json.loads((folder / "job.json").read_text())
        ids = {name: np.load(folder / f"{name}.npy") for name in ("rows", "queries")}
        given = {name: folder / f"{name}_labels.npy" for name in ids}
        labels = {name: np.load(place) if place.exists() else ids[name] for name, place in given.items()}
        return Job(folder, options, ids["rows"], ids["queries"], labels["rows"], labels["queries"])

    def model(self, **how: Any) -> Any:
        """The model in evaluation mode."""
        from transformers import AutoModelForCausalLM

        dtype = getattr(torch, self.options["dtype"])
        return AutoModelForCausalLM.from_pretrained(self.options["model"], dtype=dtype, **how).eval()

    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.options["model"])

    def scratch(self, name: str) -> Path:
        """A place of its own for files."""
        return self.folder / name


def linear_names(model: Any) -> list[str]:
    """The linear layers (also Conv1D) that all packages track: all but the head."""
    head = model.get_output_embeddings()
    kinds = ("Linear", "Conv1D")
    return [name for name, module in model.named_modules() if type(module).__name__ in kinds and module is not head]


def folder_bytes(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(package: str, work: Callable[[Job], tuple[np.ndarray | None, dict[str, Any]]]) -> None:
    """Do the job of the folder that the command line names; `work` returns the scores and more entries of the result."""
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    job = Job.read(Path(sys.argv[1]))
    scores, more = work(job)
    if scores is not None:
        np.save(job.folder / "scores.npy", np.asarray(scores, dtype=np.float64))
    versions = {name: metadata.version(name) for name in (package, "torch", "transformers")}
    clock = {"cpu_seconds": job.clock.cpu_seconds, "peak_rss_mb": job.clock.peak_rss_mb}
    (job.folder / "result.json").write_text(json.dumps({**clock, "versions": versions, **more}, indent=1))
