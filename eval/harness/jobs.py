"""Runs a runner of `eval/speed/peers` in a process of its own and reads what it measured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from eval import ROOT


class RefusedError(Exception):
    """A runner that failed, with the last line that it said."""


def run_job(
    runner: str,
    folder: Path,
    rows: np.ndarray,
    queries: np.ndarray,
    python: str = sys.executable,
    *,
    labels: tuple[np.ndarray, np.ndarray] | None = None,
    **options: Any,
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The runner's result and its scores [t, n]; `options` as in `eval.speed.peers.common.Job`. Raises `RefusedError`.

    `labels`: of the rows and of the queries, where not every token counts.
    """
    folder.mkdir(parents=True)
    np.save(folder / "rows.npy", rows)
    np.save(folder / "queries.npy", queries)
    for name, counted in zip(("rows", "queries"), labels or (), strict=False):
        np.save(folder / f"{name}_labels.npy", counted)
    (folder / "job.json").write_text(json.dumps(options))
    command = [python, "-m", f"eval.speed.peers.{runner}", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RefusedError(next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")[:300])
    scores = folder / "scores.npy"
    return json.loads((folder / "result.json").read_text()), np.load(scores) if scores.exists() else None


def environment() -> dict[str, str]:
    """One thread, no hub, and this repository's `eval` to be found."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **quiet}
