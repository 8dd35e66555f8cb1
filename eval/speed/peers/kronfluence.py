"""kronfluence: EK-FAC, factors and pairwise scores over the same linear layers.

Its Task has no language model's loss; HF GPT-2 (Conv1D) is refused, so this runs Llama only.
"""

from typing import Any

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task

from eval.speed.peers.common import Job, folder_bytes, linear_names, main


class NextToken(Task):
    """The summed next-token loss, with the labels drawn from the model where the Fisher matrix is wanted."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> torch.Tensor:
        """The sum over the batch's tokens."""
        ids = batch["ids"]
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1).float()
        labels = ids[:, 1:].flatten()
        if sample:
            with torch.no_grad():
                labels = torch.multinomial(logits.softmax(-1), 1).flatten()
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    def compute_measurement(self, batch: Any, model: Any) -> torch.Tensor:
        """The queries' loss."""
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        """All linear layers but the head."""
        return self.names


class Rows(torch.utils.data.Dataset):
    """Token ids as kronfluence's loader wants them."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = torch.from_numpy(ids).long()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"ids": self.ids[i]}


def work(job: Job) -> tuple[np.ndarray, dict[str, Any]]:
    """Covariances, eigenvectors, lambdas; then the scores."""
    model = job.model()
    task = NextToken(linear_names(model))
    analyzer = Analyzer("bench", prepare_model(model, task), task, cpu=True, output_dir=str(job.scratch("kronfluence")))
    rows, queries, batch = Rows(job.rows), Rows(job.queries), job.options["batch"]
    with job.clock("fit"):
        analyzer.fit_all_factors(
            "ekfac", rows, per_device_batch_size=batch, factor_args=FactorArguments("ekfac"), overwrite_output_dir=True
        )
    with job.clock("score"):
        analyzer.compute_pairwise_scores(
            "scores", "ekfac", queries, rows, per_device_query_batch_size=len(queries), per_device_train_batch_size=batch,
            score_args=ScoreArguments(), overwrite_output_dir=True,
        )  # fmt: skip
    scores = analyzer.load_pairwise_scores("scores")["all_modules"].float().numpy()
    return scores, {"index_bytes": folder_bytes(job.scratch("kronfluence"))}


if __name__ == "__main__":
    main("kronfluence", work)
