"""The training set's ablation: train again with some of the sources only, and read the targets."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr import metrics
from llmattr.ablation import check_masks, check_outputs, one_out_masks, random_masks
from llmattr.core.progress import Progress
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.retraining.runs import CausalTrainer, Trainer
from llmattr.retraining.store import Run, RunStore

Outputs = dict[str, Float[np.ndarray, " t"]]  # the targets' values by the keys of the runs
Job = tuple[Callable[..., Outputs], tuple[Any, ...], dict[str, Any]]  # a call, as joblib delays it

NOISE = 16  # masks that are trained a second time, to see how much is chance
AT_ONCE = 8  # jobs for each process between two looks at what is done, where results do not come one by one


@dataclass(frozen=True, eq=False)
class RetrainingAblation:
    """An `Ablation` by retraining: masks over sources (rows, or groups of rows) -> outputs of models trained on what is kept.

    `member` [rows] is each row's source. Outputs are means over `replicates` runs with different seeds, which depend on the
    mask and on `seed`; `paired` gives every mask the same seeds, so that runs that differ by one source can be subtracted.
    Finished runs are kept in the `store` (None: only while this object lives). Runs fan out by joblib: `jobs` processes, or
    whatever `joblib.parallel_config` names (loky, dask, ray).
    """

    trainer: Trainer
    sources: Sources
    targets: Targets
    member: Int[np.ndarray, " rows"]
    store: RunStore | None = None
    replicates: int = 1
    paired: bool = False
    jobs: int | None = None
    seed: int = 0
    memory: Outputs = dataclasses.field(default_factory=dict, repr=False)

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The targets' values, each the mean over the replicates."""
        return self.replicated(masks, self.replicates).mean(axis=1)

    def replicated(self, masks: Bool[np.ndarray, "m n"], replicates: int) -> Float[np.ndarray, "m r t"]:
        """The targets' values of every run; what was trained before is read from the store."""
        check_masks(masks, len(self.sources))
        runs = [Run(mask, self.seed_of(mask, r)) for mask in masks for r in range(replicates)]
        self.train(list({run.key: run for run in runs if run.key not in self.memory}.values()))
        found = np.reshape([self.memory[run.key] for run in runs], (len(masks), replicates, len(self.targets)))
        check_outputs(found.mean(axis=1), masks, self.targets)
        return found

    def seed_of(self, mask: Bool[np.ndarray, " n"], replicate: int) -> int:
        """The seed of a mask's run: drawn from the mask (unless `paired`), the ablation's seed and the replicate's number."""
        own = b"" if self.paired else np.packbits(mask).tobytes()
        digest = hashlib.sha256(own + f"/{len(mask)}/{self.seed}/{replicate}".encode()).digest()
        return int.from_bytes(digest[:4], "little") // 2

    def ceiling(self, masks: Bool[np.ndarray, "m n"], replicates: int = 2) -> Float[np.ndarray, " t"]:
        """The highest LDS that any prediction of one call's outputs can have, from so many runs of each of these masks.

        `metrics.lds_ceiling` of the mean of `self.replicates` runs.
        """
        found = self.replicated(masks, max(replicates, self.replicates))
        return metrics.lds_ceiling(found, of=self.replicates)

    def noise(self) -> Float[np.ndarray, " t"]:
        """The standard deviation of an output by the draw of its seeds alone: from `NOISE` masks, each trained twice.

        With pairs what a seed does to all masks alike is left out, since it cancels in a difference: from masks that lack one
        source, the residual of a table of masks and seeds.
        """
        n = len(self.sources)
        if not self.paired:
            found = self.replicated(random_masks(NOISE, n, seed=self.seed), max(2, self.replicates))
            return np.sqrt(found.var(axis=1, ddof=1).mean(axis=0) / self.replicates)
        masks = one_out_masks(n)[np.linspace(0, n, min(NOISE, n + 1)).astype(int)]
        found = self.replicated(masks, max(2, self.replicates))
        left = (found - found.mean(axis=0)).var(axis=1, ddof=1).mean(axis=0) * len(masks) / (len(masks) - 1)
        return np.sqrt(left / self.replicates)

    def with_pairs(self) -> "RetrainingAblation":
        """The same with every mask's seeds alike, for differences of single runs."""
        return dataclasses.replace(self, paired=True)

    def weights(self, mask: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " rows"]:
        """The weight of every row under this mask."""
        return mask[self.member].astype(float)

    def record(self) -> dict[str, Any]:
        """What is trained, how many runs each output is the mean of, and how many runs there are."""
        return {**self.trainer.record(), "replicates": self.replicates, "paired": self.paired, "runs": len(self.memory)}

    def causal(self, method: str) -> CausalTrainer:
        """The model, its rows and queries, for this method; raises `LlmattrError` for a training of the user's own."""
        if not isinstance(self.trainer, CausalTrainer):
            raise LlmattrError(f"{method} looks at a language model and its rows, which a training function does not show")
        return self.trainer

    def train(self, runs: Sequence[Run]) -> None:
        """Bring the outputs of these runs into the memory: from the store, or by training.

        Which are trained together is decided by what is asked for and not by what is left of it: so runs that were stopped and
        started again have the same neighbours as those that were not, and the same rounding.
        """
        from joblib import delayed, effective_n_jobs

        kept = {} if self.store is None else {run.key: outputs for run in runs if (outputs := self.store.get(run)) is not None}
        self.memory.update(kept)
        if len(kept) == len(runs):
            return
        processes = effective_n_jobs(self.jobs)  # pyright: ignore[reportArgumentType]: None is what is configured
        share = -(-len(runs) // processes)  # so that none stands idle
        together = min(self.trainer.together, share)
        parts = [runs[first : first + together] for first in range(0, len(runs), together)]
        left = [part for part in parts if any(run.key not in kept for run in part)]
        jobs = (delayed(_finished)(self.trainer, self.store, part, [self.weights(run.mask) for run in part]) for part in left)
        with Progress(len(runs), "training", "models", done=len(kept)) as bar:
            for finished in _results(jobs, self.jobs):
                bar.update(len(finished.keys() - kept.keys()))
                self.memory.update(finished)


def _results(jobs: Iterator[Job], processes: int | None) -> Iterator[Outputs]:
    """What each job gave, as they finish: by joblib's active backend with so many processes (None: as it is configured).

    A backend that gives all results at once (ray) gets some jobs at a time.
    """
    from joblib import Parallel, effective_n_jobs
    from joblib.parallel import get_active_backend

    backend: Any = get_active_backend()[0]
    if backend.supports_return_generator:
        parallel: Any = Parallel(n_jobs=processes, return_as="generator_unordered", pre_dispatch="2 * n_jobs")
        yield from parallel(jobs)
        return
    parallel = Parallel(n_jobs=processes)
    at_once = AT_ONCE * effective_n_jobs(processes)  # pyright: ignore[reportArgumentType]
    while some := list(itertools.islice(jobs, at_once)):
        yield from parallel(some)


def _finished(
    trainer: Trainer, store: RunStore | None, runs: Sequence[Run], weights: list[Float[np.ndarray, " rows"]]
) -> Outputs:
    """These runs' outputs by their keys. A worker keeps them itself, so that they outlive the process that asked.

    Where a kill left only some of them in the store, all are trained again: a run's rounding depends on its neighbours.
    """
    found = {run.key: outputs for run in runs if store is not None and (outputs := store.get(run)) is not None}
    if len(found) == len(runs):
        return found
    made = trainer.outputs(np.stack(weights), [run.seed for run in runs])
    left = [k for k, run in enumerate(runs) if run.key not in found]
    if store is not None:
        store.add([runs[k] for k in left], made[left])
    return found | {runs[k].key: made[k] for k in left}
