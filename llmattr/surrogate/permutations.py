"""Shapley values from random orders of the sources: what each adds to those before it; so many orders, or until it suffices."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import Ablation, ask, permutation_masks
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, note
from llmattr.surrogate.sampling import ENOUGH, Estimate, Masks, assembled, rank_correlation, rounds

FIRST_ROUND = ENOUGH  # pairs of orders

Walked = Float[np.ndarray, "r n_plus_1 t"]


def permutation(
    ablation: Ablation, most: int, method: dict[str, Any], *, tolerance: float | None, truncate: float, seed: int
) -> Attribution:
    """Shapley values from random orders, each also reversed, of at most so many masks.

    With a tolerance, 4 pairs of orders, then as many again, until every target is settled. A settled
    target keeps the orders that it has, so that its values do not depend on what else is asked.
    """
    n = len(ablation.sources)
    couples = (most - 2) // (2 * max(n - 1, 1))
    if 2 <= couples < FIRST_ROUND and n > 2:
        take = 2 * FIRST_ROUND * (n - 1) + 2
        note(f"{couples} pairs of orders are too few for errors: without an error nothing is cited; take {take} ablations")
    if couples < 2:
        raise LlmattrError(
            f"{most} ablations are too few for permutations of {n} sources: take {4 * (n - 1) + 2} or the kernel method"
        )
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(n) for _ in range(couples)])
    orders = np.stack([orders, orders[:, ::-1]], axis=1).reshape(-1, n)  # each one and its reverse
    asked = _Asked(ablation)
    outputs = np.empty((0, n + 1, len(ablation.targets)))
    estimates: dict[int, Estimate] = {}
    open_targets, stopped = list(range(len(ablation.targets))), "limit"
    for count in rounds(FIRST_ROUND, couples) if tolerance is not None else [couples]:
        masks = permutation_masks(orders[len(outputs) : 2 * count])
        outputs = np.concatenate([outputs, _walk(asked, masks, truncate)])
        for t in open_targets:
            estimates[t] = _estimate(orders[: 2 * count], outputs[:, :, t].copy())
        open_targets = [t for t in open_targets if tolerance is None or not _settled(estimates[t], tolerance)]
        if not open_targets:
            stopped = "settled"
            break
    record = {"seed": seed, "n_ablations": len(asked.known), "estimator": "permutation"}
    record |= {} if tolerance is None else {"stopped": stopped}
    return assembled(ablation, method, record, [estimates[t] for t in sorted(estimates)])


def _settled(estimate: Estimate, tolerance: float) -> bool:
    return bool(estimate.stderr.max() <= tolerance * np.abs(estimate.values).max())


def _estimate(orders: Int[np.ndarray, "r n"], walked: Float[np.ndarray, "r n_plus_1"]) -> Estimate:
    """The mean over pairs of orders; a pair is foretold by the others.

    An error is known of 4 pairs or more that are not all the same; of two sources a pair is all the orders that there are.
    """
    couples, n = len(orders) // 2, orders.shape[1]
    marginals = np.take_along_axis(np.diff(walked, axis=1), np.argsort(orders, axis=1), axis=1)
    each = marginals.reshape(couples, 2, n).mean(axis=1)
    values = each.mean(axis=0)
    others = (values * couples - each) / (couples - 1)  # without one pair
    inside = permutation_masks(orders)[:, 1:-1].reshape(couples, -1, n)
    predicted = np.concatenate([inside[c] @ others[c] for c in range(couples)])
    lds = rank_correlation(predicted, walked[:, 1:-1].reshape(-1)) if n > 1 else float("nan")
    different = {frozenset((tuple(order), tuple(order[::-1]))) for order in orders[::2].tolist()}
    known = n <= 2 or (couples >= ENOUGH and len(different) > 1)
    stderr = each.std(axis=0, ddof=1) / couples**0.5 if known else np.full(n, np.nan)
    return Estimate(values, float(walked[0, 0]), stderr, lds)


class _Asked:
    """An ablation that is asked for each mask once, however often it comes."""

    def __init__(self, ablation: Ablation) -> None:
        self.ablation = ablation
        self.known: dict[bytes, Float[np.ndarray, " t"]] = {}

    def __call__(self, masks: Masks) -> Float[np.ndarray, "m t"]:
        keys = [mask.tobytes() for mask in masks]
        new = {key: mask for key, mask in zip(keys, masks, strict=True) if key not in self.known}
        if new:
            self.known.update(zip(new, ask(self.ablation, np.array(list(new.values())), len(self.known)), strict=True))
        return np.array([self.known[key] for key in keys])


def _walk(ask: Callable[[Masks], Float[np.ndarray, "m t"]], masks: Bool[np.ndarray, "r n_plus_1 n"], truncate: float) -> Walked:
    """Outputs along orders. Truncated, they are asked for step by step, and stay at f(all) from where they are near to it."""
    r, steps, n = masks.shape
    if truncate == 0:
        return ask(masks.reshape(-1, n)).reshape(r, steps, -1)
    ends = ask(masks[0, [0, -1]])
    outputs = np.repeat(ends[1][None, None], steps, axis=1).repeat(r, axis=0)
    outputs[:, 0] = ends[0]
    going = np.ones((r, ends.shape[1]), dtype=bool)
    for step in range(1, steps - 1):
        going &= np.abs(outputs[:, step - 1] - ends[1]) > truncate
        rows = np.flatnonzero(going.any(axis=1))
        if len(rows) == 0:
            break
        outputs[rows, step] = np.where(going[rows], ask(masks[rows, step]), ends[1])
    return outputs
