"""dattri: LoGra with a width x width projection for each linear layer, no curvature, rows kept in memory.

Ways around: batches are dicts with labels (tuples lose their batch dimension), offload="cpu" ("disk" asks for CUDA).
"""

import math
from typing import Any

import numpy as np
import torch
from dattri.algorithm.logra import LoGraAttributor
from dattri.task import AttributionTask

from eval.speed.peers.common import IGNORED, Job, linear_names, main


class Rows(torch.utils.data.Dataset):
    """Token ids and labels as dicts."""

    def __init__(self, ids: np.ndarray, labels: np.ndarray) -> None:
        self.ids, self.labels = torch.from_numpy(ids).long(), torch.from_numpy(labels).long()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[i], "labels": self.labels[i]}


def summed_loss(model: Any, batch: Any, device: str) -> torch.Tensor:
    """The batch's summed loss, so that a row's gradient does not depend on its batch."""
    out = model(**{name: tensor.to(device) for name, tensor in batch.items()})
    return out.loss * (batch["labels"][:, 1:] != IGNORED).sum()


def work(job: Job) -> tuple[np.ndarray, dict[str, Any]]:
    """Cache the rows, then attribute the queries."""
    model, batch = job.model(), job.options["batch"]
    task = AttributionTask(loss_func=summed_loss, model=model, checkpoints=[model.state_dict()])
    logra = LoGraAttributor(
        task, layer_names=linear_names(model), hessian="Identity", proj_dim=job.options["width"] ** 2, offload="cpu"
    )
    rows = torch.utils.data.DataLoader(Rows(job.rows, job.row_labels), batch_size=batch)
    queries = torch.utils.data.DataLoader(Rows(job.queries, job.query_labels), batch_size=min(batch, len(job.queries)))
    with job.clock("index"):
        logra.cache(rows)
        logra.compute_preconditioners()
        logra.compute_ifvp()
    with job.clock("score"):
        scores = logra.attribute(rows, queries)
    layers = len(linear_names(model))
    assert math.prod(scores.shape) == len(job.rows) * len(job.queries)
    return scores.cpu().numpy().T, {"index_bytes": 4 * len(job.rows) * layers * job.options["width"] ** 2}


if __name__ == "__main__":
    main("dattri", work)
