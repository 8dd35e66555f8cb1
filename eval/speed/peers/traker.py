"""traker (TRAK): a dense projection of the whole gradient, too slow on a CPU for all rows.

It featurises the first rows of the job only and the time is extrapolated to all of them; no scores are handed back.
Ways around: it has no task for language models; its vmap needs eager attention.
"""

import logging
from typing import Any

import torch
from trak import TRAKer
from trak.modelout_functions import AbstractModelOutput

from eval.speed.peers.common import Job, folder_bytes, linear_names, main

MEASURED = 32  # rows


class Margin(AbstractModelOutput):
    """Each sequence's summed log-odds, and the mean of 1 - p as the output-to-loss term."""

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def log_odds(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The log-odds of every next token."""
        labels = ids[:, 1:, None]
        chosen = logits[:, :-1].gather(2, labels)[..., 0]
        others = logits[:, :-1].scatter(2, labels, -torch.inf).logsumexp(-1)
        return chosen - others

    @staticmethod
    def get_output(model: Any, weights: Any, buffers: Any, ids: torch.Tensor) -> torch.Tensor:
        """One sequence's output."""
        keywords = {"input_ids": ids[None], "use_cache": False}
        out = torch.func.functional_call(model, (weights, buffers), args=(), kwargs=keywords)
        return Margin.log_odds(out.logits, ids[None]).sum()

    def get_out_to_loss_grad(self, model: Any, weights: Any, buffers: Any, batch: Any) -> torch.Tensor:
        """A batch's mean 1 - p."""
        keywords = {"input_ids": batch[0], "use_cache": False}
        out = torch.func.functional_call(model, (weights, buffers), args=(), kwargs=keywords)
        return torch.sigmoid(-self.log_odds(out.logits, batch[0])).mean(1, keepdim=True).detach()


def work(job: Job) -> tuple[None, dict[str, Any]]:
    """Featurise some rows and score the same number of queries at most."""
    model = job.model(attn_implementation="eager")
    ids, n = torch.from_numpy(job.rows).long(), min(MEASURED, len(job.rows))
    traker = TRAKer(
        model, Margin(), train_set_size=n, save_dir=str(job.scratch("traker")), device="cpu", proj_dim=job.options["dim"],
        grad_wrt=[f"{name}.weight" for name in linear_names(model)], use_half_precision=False, logging_level=logging.ERROR,
    )  # fmt: skip
    traker.load_checkpoint(model.state_dict(), model_id=0)
    with job.clock("measured index"):
        traker.featurize([ids[:n]], num_samples=n)
        traker.finalize_features()
    job.clock.cpu_seconds["index"] = job.clock.cpu_seconds["measured index"] * len(ids) / n
    job.clock.peak_rss_mb["index"] = job.clock.peak_rss_mb["measured index"]
    size = folder_bytes(job.scratch("traker")) * len(ids) // n
    return None, {"index_bytes": size, "note": f"measured on {n} rows at once and extrapolated to {len(ids)}; no scores"}


if __name__ == "__main__":
    main("traker", work)
