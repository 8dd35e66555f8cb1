"""What every surrogate shares: masks asked for once and in rounds, estimates and their errors, the attribution of them all."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import Ablation, ask
from llmattr.core.attribution import Attribution
from llmattr.errors import note
from llmattr.metrics.stats import foretold

Masks = Bool[np.ndarray, "m n"]
Column = Float[np.ndarray, " m"]  # one target's outputs
Rows = Int[np.ndarray, " k"]
Count = int | Literal["auto"]

PRECISION = 0.1  # of the largest score
ENOUGH = 4  # draws whose spread gives an error; of fewer it is not known (nan), and nothing is cited by it

UNITS = {
    "logit": "nats of log-odds",
    "margin": "nats of log-odds",
    "logprob": "nats",
    "loss": "nats",
    "value": "the outputs' unit",
    "generated": "similarity of what is generated",
}


class Estimate(NamedTuple):
    """One target's scores with their errors, what is left without any source, and the LDS where a fit is left out.

    `details`: what else is known of the fit, by the names that the attribution has for it.
    """

    values: Float[np.ndarray, " n"]
    baseline: float
    stderr: Float[np.ndarray, " n"]
    lds: float | None = None
    details: Mapping[str, Any] | None = None


def ask_once(ablation: Ablation, masks: Masks) -> Float[np.ndarray, "m t"]:
    """Outputs of these masks, in one call, each distinct one asked for once."""
    _, rows, inverse = np.unique(masks, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(rows)  # as they come
    return ask(ablation, masks[rows[order]])[np.argsort(order)[inverse.reshape(-1)]]


def columns_of(outputs: Float[np.ndarray, "m t"]) -> list[Column]:
    """Target by target: sums over several at once round differently from sums over one."""
    return [outputs[:, t].copy() for t in range(outputs.shape[1])]


def rounds(first: int, most: int) -> list[int]:
    """How many there are after each round: the first number, twice as many, and so on up to the most.

    >>> rounds(16, 100)
    [16, 32, 64, 100]
    """
    doubled = [first * 2**k for k in range(32) if first * 2**k < most]
    return [*doubled, most]


def heldout_stderr(masks: Masks | Float[np.ndarray, "m n"], errors: Column) -> Float[np.ndarray, " n"]:
    """The error of a least-squares weight on random masks: `sqrt(mean(errors^2) / m) / std_i`, errors = of held-out ablations.

    It is the textbook's `sigma / (std_i sqrt(f))` with `sigma^2 = |residual|^2 / f`, f = m less the weights that were fitted:
    by generalised cross-validation (Golub, Heath and Wahba 1979) the mean squared held-out error is `m |residual|^2 / f^2`.
    So it holds for any linear fit, around a prior or not, however many weights its penalty leaves. It bounds the bootstrap's
    error from below, which is too small where sources are as many as ablations. nan for a source that was kept in every
    ablation or in none: nothing is known of it.
    """
    std = masks.std(axis=0)
    return np.sqrt(np.mean(errors**2) / len(masks)) / np.where(std > 0, std, np.nan)


def left_out_lds(outputs: Column, errors: Column) -> float:
    """The rank correlation of outputs with what fits expect that did not see one, less what these expect of the mean of all.

    `errors`: how far off such a fit is; it expects the mean of the others of the mean of the others.
    """
    m, predicted = len(outputs), outputs - errors
    rest = (outputs.sum() - outputs) / max(m - 1, 1)
    levels = predicted / m + rest * (1 - 1 / m)
    return rank_correlation(predicted - levels, outputs)


def note_unknown(estimates: Sequence[Estimate]) -> None:
    """Say of how many sources the error is not known for some target, where there are such."""
    stderr = np.array([one.stderr for one in estimates])
    unknown, n = int(np.isnan(stderr).any(axis=0).sum()), stderr.shape[1]
    if unknown:
        some = "any source" if unknown == n else f"{unknown} of {n} sources"
        note(f"the ablations are too few for the errors of {some}: without an error nothing is cited; take more")


def rank_correlation(predicted: Float[np.ndarray, " m"], seen: Float[np.ndarray, " m"]) -> float:
    """`metrics.stats.foretold` of what a fit predicts and what was seen: 0 where that is constant, nan where this is."""
    return float(foretold(predicted[None], seen[None])[0])


def attribution(
    ablation: Ablation,
    method: dict[str, Any],
    record: dict[str, Any],
    *,
    values: Float[np.ndarray, "t n"],
    baseline: Float[np.ndarray, " t"],
    stderr: Float[np.ndarray, "t n"] | None = None,
    lds: Float[np.ndarray, " t"] | None = None,
    details: Mapping[str, Sequence[Any]] | None = None,
) -> Attribution:
    """An `Attribution` to the ablation's sources, in its unit, with its record."""
    return Attribution(
        values=values,
        sources=ablation.sources,
        targets=ablation.targets,
        unit=UNITS.get(ablation.targets.measure, ablation.targets.measure),
        method=method,
        run={**ablation.record(), **record},
        stderr=stderr,
        baseline=baseline,
        lds=lds,
        details=details or {},
    )


def assembled(ablation: Ablation, method: dict[str, Any], record: dict[str, Any], estimates: list[Estimate]) -> Attribution:
    """One attribution of all targets."""
    values = np.array([one.values for one in estimates], dtype=float)
    baseline = np.array([one.baseline for one in estimates], dtype=float)
    stderr = np.array([one.stderr for one in estimates], dtype=float)
    lds = None if estimates[0].lds is None else np.array([one.lds for one in estimates], dtype=float)
    details = {name: [(one.details or {})[name] for one in estimates] for name in estimates[0].details or {}}
    return attribution(ablation, method, record, values=values, baseline=baseline, stderr=stderr, lds=lds, details=details)
