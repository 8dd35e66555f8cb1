"""How far an estimate may be off, and how well it predicts."""

import numpy as np
from jaxtyping import Bool, Float

from llmattr.errors import note
from llmattr.metrics.lds import foretold
from llmattr.metrics.stats import bootstrap_stderr as bootstrap_stderr

ENOUGH = 4  # parts whose spread gives an error; of fewer it is not known (nan), and nothing is cited by it


def heldout_stderr(
    masks: Bool[np.ndarray, "m n"] | Float[np.ndarray, "m n"], errors: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """The error of a least-squares weight on random masks: `sqrt(mean(errors^2) / m) / std_i`, errors = of held-out ablations.

    It is the textbook's `sigma / (std_i sqrt(f))` with `sigma^2 = |residual|^2 / f`, f = m less the weights that were fitted:
    by generalised cross-validation (Golub, Heath and Wahba 1979) the mean squared held-out error is `m |residual|^2 / f^2`.
    So it holds for any linear fit, around a prior or not, however many weights its penalty leaves. It bounds the bootstrap's
    error from below, which is too small where sources are as many as ablations. nan for a source that was kept in every
    ablation or in none: nothing is known of it.
    """
    std = masks.std(axis=0)
    return np.sqrt(np.mean(errors**2) / len(masks)) / np.where(std > 0, std, np.nan)


def note_unknown(stderr: Float[np.ndarray, "t n"], take: str = "take more") -> None:
    """Say of how many sources the error is not known, where there are such."""
    unknown, n = int(np.isnan(stderr).any(axis=0).sum()), stderr.shape[1]
    if unknown:
        some = "any source" if unknown == n else f"{unknown} of {n} sources"
        note(f"the ablations are too few for the errors of {some}: without an error nothing is cited; {take}")


def rank_correlation(a: Float[np.ndarray, " m"], b: Float[np.ndarray, " m"]) -> float:
    """`metrics.lds.foretold` of what a fit predicts (a) and what was seen (b): 0 where a is constant, nan where b is."""
    return float(foretold(a[None], b[None])[0])
