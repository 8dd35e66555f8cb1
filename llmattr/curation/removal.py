"""Did it help to remove them? Train again without the rows that a trace names, and without as many others."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.seeded import generator
from llmattr.curation.selection import select
from llmattr.errors import check_number

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution
    from llmattr.retraining.ablation import RetrainingAblation


class Removal(NamedTuple):
    """What models say that were trained with all sources, without each target's k highest, and without k random ones [t].

    `effect` is `without - random`: below 0 where the highest sources did more for the target than others do. `stderr` is its
    error, over the seeds and the random draws; nan of one model and one draw.
    """

    removed: int
    everything: Float[np.ndarray, " t"]
    without: Float[np.ndarray, " t"]
    random: Float[np.ndarray, " t"]
    effect: Float[np.ndarray, " t"]
    stderr: Float[np.ndarray, " t"]

    @property
    def clear(self) -> Bool[np.ndarray, " t"]:
        """Which effects stand two standard errors clear of 0; none where no error is known."""
        return np.abs(self.effect) > 2 * self.stderr

    def record(self) -> dict[str, Any]:
        """What an attribution keeps as `verified`."""
        seen = {"all": self.everything, "without": self.without, "random": self.random}
        of_targets = {"effect": self.effect.tolist(), "stderr": self.stderr.tolist()}
        return {"removed": self.removed, **{name: {"seen": values.tolist()} for name, values in seen.items()}, **of_targets}


def removal(attribution: "Attribution", ablation: "RetrainingAblation", k: int, replicates: int = 3, draws: int = 3) -> Removal:
    """Train again without the k sources that score highest for each target, without k random ones, and with all.

    The attribution may name only some of the ablation's sources, by their ids. All masks are trained with the same
    `replicates` seeds, so that what a seed does to all alike cancels. With `e[d, r]` the difference of draw d and seed r, the
    error is `sqrt(var_d(mean_r e) / draws + var_r(mean_d e) / replicates)`. Raises `LlmattrError` where fewer than k sources
    have scores.
    """
    n, t = len(ablation.sources), len(attribution)
    check_number("k", k, 1, n, whole=True)
    check_number("replicates", replicates, 1, whole=True)
    check_number("draws", draws, 1, whole=True)
    highest = [select(one, k, ablation.sources) for one in attribution]
    rng = generator(ablation.seed, "removal")
    masks = np.ones((1 + t + draws, n), dtype=bool)
    for mask, gone in zip(masks[1:], [*highest, *(rng.permutation(n)[:k] for _ in range(draws))], strict=True):
        mask[gone] = False
    seen = ablation.with_pairs().replicated(masks, replicates)  # [m, r, t]
    everything, without, random = seen[0], seen[1 : 1 + t][np.arange(t), :, np.arange(t)].T, seen[1 + t :]
    differences = without - random  # [d, r, t]
    squares = [_variance(differences.mean(axis=1)), _variance(differences.mean(axis=0))]
    known = [square for square in squares if square is not None]
    stderr = np.sqrt(sum(known)) if known else np.full(t, np.nan)
    means = (everything.mean(axis=0), without.mean(axis=0), random.mean(axis=(0, 1)))
    return Removal(k, *means, differences.mean(axis=(0, 1)), stderr)


def _variance(values: Float[np.ndarray, "m t"]) -> Float[np.ndarray, " t"] | None:
    """That of the mean of m values; None of one."""
    return values.var(axis=0, ddof=1) / len(values) if len(values) > 1 else None
