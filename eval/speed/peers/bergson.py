"""bergson: an index with a width x width projection for each linear layer, or its EK-FAC pipeline.

EK-FAC is the pipeline that its command `bergson ekfac` runs, without the import (about 10 CPU seconds). It scores with
unprojected gradients of the queries.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from bergson import Attributor, GradientProcessor, collect_gradients
from bergson.config.config import (
    DataConfig,
    HessianConfig,
    HessianPipelineConfig,
    IndexConfig,
    PreprocessConfig,
    QuerySetConfig,
    ScoreConfig,
)
from bergson.data import load_module_gradients, load_scores
from bergson.hessians.pipeline import hessian_pipeline
from datasets import Dataset

from eval.speed.peers.common import Job, folder_bytes, main


def build(job: Job, model: Any, ids: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Collect the rows' gradients into an index."""
    width, batch = job.options["width"], job.options["batch"]
    data = Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.tolist(), "length": [ids.shape[1]] * len(ids)})
    cfg = IndexConfig(run_path=str(folder), projection_dim=width, token_batch_size=batch * ids.shape[1])
    batches = [list(range(start, min(start + batch, len(ids)))) for start in range(0, len(ids), batch)]
    collect_gradients(model, data, GradientProcessor(projection_dim=width), cfg, batches=batches)
    cfg.partial_run_path.rename(folder)


def index(job: Job) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Build, then search with the queries' gradients."""
    model, folder = job.model(), job.scratch("index")
    with job.clock("index"):
        build(job, model, job.rows, job.row_labels, folder)
    size = {"index_bytes": folder_bytes(folder)}
    if not len(job.queries):
        return None, size
    with job.clock("score"):
        build(job, model, job.queries, job.query_labels, job.scratch("queries"))
        asked = load_module_gradients(job.scratch("queries"))
        found = Attributor(folder).search({name: torch.from_numpy(np.array(asked[name])) for name in asked}, k=None)
    values, places = found
    return torch.zeros_like(values).scatter(1, places, values).numpy(), size


def ekfac(job: Job) -> tuple[np.ndarray, dict[str, Any]]:
    """Queries' gradients, factors with eigenvalue correction, preconditioning and scores, in files."""
    folder, batch = job.scratch("ekfac"), job.options["batch"]
    for name, ids, labels in (("rows", job.rows, job.row_labels), ("asked", job.queries, job.query_labels)):
        Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.tolist()}).save_to_disk(str(job.scratch(name)))
    data = DataConfig(dataset=str(job.scratch("rows")))
    cfg = IndexConfig(run_path=str(folder), model=job.options["model"], data=data, token_batch_size=batch * job.rows.shape[1])
    query = QuerySetConfig(dataset=str(job.scratch("asked")), aggregation="none")
    with job.clock("all"):
        hessian_pipeline(
            cfg, HessianConfig(method="kfac", ev_correction=True), ScoreConfig(), PreprocessConfig(),
            HessianPipelineConfig(query=query),
        )  # fmt: skip
    scores = np.asarray(load_scores(folder / "scores")[:], dtype=np.float64).T
    return scores, {"index_bytes": folder_bytes(folder)}


def work(job: Job) -> tuple[np.ndarray | None, dict[str, Any]]:
    """The method that the job names."""
    return ekfac(job) if job.options["method"] == "ekfac" else index(job)


if __name__ == "__main__":
    main("bergson", work)
