"""Scores that are read off one training run on all rows, and their means over the replicates."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import Named, describe
from llmattr.retraining.grouping import summed
from llmattr.surrogate import UNITS

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


class OneRun(NamedTuple):
    """What one run says: the rows' scores, the outputs that are left without any row, and the outputs at its end."""

    values: Float[np.ndarray, "t rows"]
    baseline: Float[np.ndarray, " t"]
    after: Float[np.ndarray, " t"]


def over_replicates(
    method: Named,
    ablation: "RetrainingAblation",
    run: Callable[[Float[np.ndarray, " rows"], int], OneRun],
    seed: int,
) -> Attribution:
    """The means over the replicates of what `run(weights of all rows, seed of the run)` says, in the outputs' unit.

    Of a source of several rows the sum; errors where there are several replicates; `details["after"]`: the outputs at the end.
    """
    everything, r = np.ones(len(ablation.sources), dtype=bool), ablation.replicates
    runs = [run(ablation.weights(everything), ablation.seed_of(everything, k)) for k in range(r)]
    values, baseline, after = (np.array(part) for part in zip(*runs, strict=True))
    values = summed(values, ablation.member, len(ablation.sources))
    return Attribution(
        values=values.mean(axis=0),
        sources=ablation.sources,
        targets=ablation.targets,
        unit=UNITS[ablation.targets.measure],
        method=describe(method),
        run={**ablation.record(), "seed": seed},
        stderr=values.std(axis=0, ddof=1) / r**0.5 if r > 1 else None,
        baseline=baseline.mean(axis=0),
        details={"after": after.mean(axis=0).tolist()},
    )
