"""What the game-theoretic estimators share: each mask asked for once, target by target, one attribution of all targets."""

from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.ablation import Ablation, ask, every_mask, noise_of
from llmattr.core.attribution import Attribution
from llmattr.surrogate.fitting import attribution
from llmattr.surrogate.semivalues import Column, Masks, coefficients, semivalue

# Values, baseline, stderr, and LDS where a fit is left out.
Part = tuple[Float[np.ndarray, " n"], float, Float[np.ndarray, " n"], float | None]


def columns_of(outputs: Float[np.ndarray, "m t"]) -> list[Column]:
    """Target by target: sums over several at once round differently from sums over one."""
    return [outputs[:, t].copy() for t in range(outputs.shape[1])]


def chance(ablation: Ablation) -> Float[np.ndarray, " t"]:
    """The standard deviation of each target's output by chance, 0 without any."""
    noise = noise_of(ablation)
    return np.zeros(len(ablation.targets)) if noise is None else noise


def ask_once(ablation: Ablation, masks: Masks) -> Float[np.ndarray, "m t"]:
    """Outputs of these masks, in one call, each distinct one asked for once."""
    _, rows, inverse = np.unique(masks, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(rows)  # as they come
    return ask(ablation, masks[rows[order]])[np.argsort(order)[inverse.reshape(-1)]]


def assembled(
    ablation: Ablation, options: dict[str, Any], seed: int, parts: list[Part], m: int, how: str, **record: Any
) -> Attribution:
    """One attribution of all targets' parts, with how many ablations there were and how the values were estimated."""
    values, baseline, stderr = (np.array(column, dtype=float) for column in list(zip(*parts, strict=True))[:3])
    lds = None if parts[0][3] is None else np.array([part[3] for part in parts], dtype=float)
    record = {"n_ablations": m, "estimator": how, **record}
    return attribution(ablation, options, seed, values, baseline, stderr, lds, record)


def enumerated(
    ablation: Ablation, sizes: Float[np.ndarray, " n"], law: Float[np.ndarray, " n_plus_1"], options: dict[str, Any], seed: int
) -> Attribution:
    """The exact semivalue with these masses of sizes, from all 2^n masks; `law`: the masses of how many sources are kept."""
    from scipy.special import comb

    n = len(ablation.sources)
    masks = every_mask(n)
    outputs, each = ask(ablation, masks), (law / comb(n, np.arange(n + 1)))[masks.sum(axis=1)]
    norms = np.linalg.norm(coefficients(masks, sizes), axis=0)
    parts: list[Part] = []
    for column, noise in zip(columns_of(outputs), chance(ablation), strict=True):
        values = semivalue(masks, column, sizes)
        parts.append((values, level(masks, column, values, each), noise * norms, None))
    return assembled(ablation, options, seed, parts, len(masks), "exact")


def level(masks: Masks, outputs: Column, values: Float[np.ndarray, " n"], weights: Column) -> float:
    """The baseline with which baseline and values are right on average over masks with these weights."""
    return float(np.average(outputs - masks @ values, weights=weights))
