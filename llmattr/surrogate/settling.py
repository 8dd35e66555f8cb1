"""`n_ablations="auto"`: masks are drawn in rounds, until more of them would change little of what is read."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool

from llmattr.ablation import Ablation, ask, every_mask, random_masks
from llmattr.core.citing import is_cited, least_score
from llmattr.surrogate.linear import distinct
from llmattr.surrogate.sampling import PRECISION, Column, Estimate, Masks, rounds

FIRST_ROUND = 16  # ablations


def until_settled(
    ablation: Ablation, estimate: Callable[[Masks, Column, int], Estimate], keep: float, limit: int, seed: int
) -> tuple[list[Estimate], dict[str, Any]]:
    """Estimates of all targets, and a record of how many ablations there were and why drawing ended.

    16 are drawn, then as many again up to `limit`, until each target is settled: every score that is cited, and the highest
    that is not, has `stderr <= max(0.1 max(values), least / 2)`: a tenth of the largest score, or half the least that is worth
    a mention (`least_score`: 0.1 nats; of outputs in another unit a share of the largest). A settled target keeps the masks
    that it has, so that its scores do not depend on the other targets. Where the number reaches 2^n at keep 0.5, every mask is
    taken once and drawing ends.
    """
    n, open_targets = len(ablation.sources), list(range(len(ablation.targets)))
    masks, outputs = np.empty((0, n), dtype=bool), np.empty((0, len(open_targets)))
    estimates: dict[int, Estimate] = {}
    stopped = "limit"
    for m in rounds(FIRST_ROUND, limit):
        complete = keep == 0.5 and n < 31 and 2**n <= m
        new = random_masks(m, n, keep, seed)[len(masks) :]
        if complete:
            rows = np.sort(distinct(masks)[0]) if len(masks) else np.empty(0, dtype=int)
            masks, outputs = masks[rows], outputs[rows]
            new = _others(masks, n)
        if len(new):
            masks, outputs = np.concatenate([masks, new]), np.concatenate([outputs, ask(ablation, new, len(masks))])
        for t in open_targets:
            estimates[t] = estimate(masks, outputs[:, t].copy(), t)
        open_targets = [t for t in open_targets if not settled(estimates[t], ablation.targets.measure)]
        if complete or not open_targets:
            stopped = "every mask was drawn" if open_targets else "settled"
            break
    return [estimates[t] for t in sorted(estimates)], {"seed": seed, "n_ablations": len(masks), "stopped": stopped}


def _others(masks: Masks, n: int) -> Bool[np.ndarray, "k n"]:
    """Every mask that is not among these."""
    every = every_mask(n)
    seen = {mask.tobytes() for mask in masks}
    return every[[mask.tobytes() not in seen for mask in every]]


def settled(estimate: Estimate, measure: str) -> bool:
    """Whether more ablations would change little of what is read: see `until_settled`."""
    values, stderr = estimate.values, estimate.stderr
    if np.isnan(stderr).any():
        return False
    least = least_score(measure, values, estimate.baseline)
    cited = is_cited(values, stderr, least)
    errors = stderr[cited].tolist()
    if not cited.all():
        errors.append(stderr[~cited][np.argmax(values[~cited])])
    return bool(max(errors) <= max(PRECISION * values.max(), least[0] / 2))
