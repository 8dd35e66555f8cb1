"""The floor under every gradient method: forward, and backward through the activations only, nothing kept. Plain torch."""

from typing import Any

import numpy as np
import torch

from eval.speed.peers.common import Job, main


def run_floor(model: Any, rows: np.ndarray, batch: int) -> None:
    """The loss's gradient with respect to the embedded tokens [b, s, d]; the weights have none."""
    for weight in model.parameters():
        weight.requires_grad_(False)
    for ids in torch.from_numpy(rows).long().split(batch):
        embedded = model.get_input_embeddings()(ids).requires_grad_(True)
        model(inputs_embeds=embedded, labels=ids, use_cache=False).loss.backward()


def work(job: Job) -> tuple[None, dict[str, Any]]:
    """The rows once."""
    model = job.model()
    with job.clock("index"):
        run_floor(model, job.rows, job.options["batch"])
    return None, {}


if __name__ == "__main__":
    main("torch", work)
