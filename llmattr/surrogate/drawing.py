"""Drawing masks, once or in rounds until the scores that matter are settled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation, ask, every_mask, random_masks
from llmattr.core.citing import is_cited, least_score
from llmattr.errors import check_number
from llmattr.surrogate.choice import Masks, Model, distinct

Count = int | Literal["auto"]

FIRST_ROUND = 16
PRECISION = 0.1  # of the largest score


@dataclass(frozen=True, eq=False)
class Fitted:
    """A target's model with its errors, on the first m masks that were drawn."""

    model: Model
    values: Float[np.ndarray, " n"]
    baseline: float
    stderr: Float[np.ndarray, " n"] | None
    lds: float


def draw(
    ablation: Ablation,
    assess: Callable[[Masks, Float[np.ndarray, " m"], int], Fitted],
    n_ablations: Count,
    keep: float,
    limit: int,
    seed: int,
) -> tuple[list[Fitted], dict[str, Any]]:
    """Ask for ablations, fit every target, and say in a record how many ablations there were and why they ended.

    "auto" draws 16, then as many again up to `limit`, until each target is settled: every score that is cited, and the highest
    that is not, has `stderr <= max(0.1 max(values), least / 2)`: a tenth of the largest score, or half the least that is worth
    a mention (`least_score`: 0.1 nats; of outputs in another unit a share of the largest). A settled target keeps the masks
    that it has, so that its scores do not depend on the other targets. Where the number reaches 2^n at keep 0.5, every mask is
    taken once and drawing ends.
    """
    check_number("n_ablations", n_ablations, 2, whole=True, words=["auto"])
    n, open_targets = len(ablation.sources), list(range(len(ablation.targets)))
    fits: dict[int, Fitted] = {}
    masks, outputs = np.empty((0, n), dtype=bool), np.empty((0, len(open_targets)))
    stopped = None
    for m in _rounds(n_ablations, limit):
        complete = n_ablations == "auto" and keep == 0.5 and n < 31 and 2**n <= m
        new = random_masks(m, n, keep, seed)[len(masks) :]
        if complete:
            rows = np.sort(distinct(masks)[0]) if len(masks) else np.empty(0, dtype=int)
            masks, outputs = masks[rows], outputs[rows]
            new = _others(masks, n)
        if len(new):
            masks, outputs = np.concatenate([masks, new]), np.concatenate([outputs, ask(ablation, new, len(masks))])
        for t in open_targets:
            fits[t] = assess(masks, outputs[:, t].copy(), t)
        open_targets = [t for t in open_targets if not settled(fits[t], ablation.targets.measure)]
        if n_ablations == "auto" and (complete or not open_targets):
            stopped = "settled" if not open_targets else "every mask was drawn"
            break
    record = {"n_ablations": len(masks), **({"stopped": stopped or "limit"} if n_ablations == "auto" else {})}
    return [fits[t] for t in sorted(fits)], record


def _rounds(n_ablations: Count, limit: int) -> list[int]:
    if n_ablations != "auto":
        return [n_ablations]
    doubled = [FIRST_ROUND * 2**k for k in range(32) if FIRST_ROUND * 2**k < limit]
    return [*doubled, limit]


def _others(masks: Masks, n: int) -> Bool[np.ndarray, "k n"]:
    """Every mask that is not among these."""
    every = every_mask(n)
    seen = {mask.tobytes() for mask in masks}
    return every[[mask.tobytes() not in seen for mask in every]]


def settled(fit: Fitted, measure: str) -> bool:
    """Whether more ablations would change little of what is read: see `draw`."""
    if fit.stderr is None or np.isnan(fit.stderr).any():
        return False
    least = least_score(measure, fit.values, fit.baseline)
    cited = is_cited(fit.values, fit.stderr, least)
    errors = fit.stderr[cited].tolist()
    if not cited.all():
        errors.append(fit.stderr[~cited][np.argmax(fit.values[~cited])])
    return bool(max(errors) <= max(PRECISION * fit.values.max(), least[0] / 2))
