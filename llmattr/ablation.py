"""What an ablation is, and which masks to ask it for."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError, check_number


@runtime_checkable
class Ablation(Protocol):
    """What the t targets would be with only the sources in each mask: masks [m, n] -> outputs [m, t].

    True in a mask = the source is kept. `record` says what answered (model, dtype, ...), for the `run` of an attribution.
    """

    @property
    def sources(self) -> Sources:
        """What can be removed."""
        ...

    @property
    def targets(self) -> Targets:
        """What is measured."""
        ...

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The targets' values under each mask."""
        ...

    def record(self) -> dict[str, Any]:
        """What answered, for `run`."""
        ...


@runtime_checkable
class Noisy(Protocol):
    """An `Ablation` whose outputs are partly chance, and that says how much."""

    def noise(self) -> Float[np.ndarray, " t"]:
        """The standard deviation of an output by chance; of ablations with pairs, of what does not cancel in a difference."""
        ...


def noise_of(ablation: Ablation) -> Float[np.ndarray, " t"] | None:
    """The standard deviation of each target's output by chance; None of an ablation without any."""
    return ablation.noise() if isinstance(ablation, Noisy) else None


def ask(ablation: Ablation, masks: Bool[np.ndarray, "m n"], before: int = 0) -> Float[np.ndarray, "m t"]:
    """The ablation's outputs, for everything that reads them; `before` = how many were asked for earlier.

    Raises `LlmattrError` for an output that is not finite, with the mask and the target: there is no effect that it could be
    said to have. -inf too, which is the log-probability of a token that the model can never say: it would decide every fit.
    """
    check_masks(masks, len(ablation.sources))
    outputs = ablation(masks)
    check_outputs(outputs, masks, ablation.targets, before)
    return outputs


def check_masks(masks: object, n: int) -> None:
    """Raise `LlmattrError` for what are no masks of n sources: another type or shape would be read as something else."""
    if not isinstance(masks, np.ndarray) or masks.dtype != bool:
        raise LlmattrError(f"masks must be a numpy array of bool, not {_kind_of(masks)}")
    if masks.ndim != 2 or masks.shape[1] != n:
        raise LlmattrError(f"masks must have the shape [m, {n}], a column for each source, not {list(masks.shape)}")


def _kind_of(masks: object) -> str:
    return f"of {masks.dtype}" if isinstance(masks, np.ndarray) else f"a {type(masks).__name__}"


def check_outputs(outputs: Float[np.ndarray, "m t"], masks: Bool[np.ndarray, "m n"], targets: Targets, before: int = 0) -> None:
    """Raise `LlmattrError` for outputs that are not finite."""
    if not np.isfinite(outputs).all():
        raise _not_finite(outputs, masks, targets, before)


def _not_finite(
    outputs: Float[np.ndarray, "m t"], masks: Bool[np.ndarray, "m n"], targets: Targets, before: int
) -> LlmattrError:
    row, target = np.argwhere(~np.isfinite(outputs))[0].tolist()
    kept = np.flatnonzero(masks[row]).tolist()
    some = ", ".join(map(str, kept[:10])) + (f" and {len(kept) - 10} more" if len(kept) > 10 else "") or "none"
    return LlmattrError(
        f"ablation {before + row} gave {outputs[row, target]} for target {target} ({targets.texts[target]!r:.60}): outputs "
        f"must be finite numbers (of {masks.shape[1]} sources it kept: {some})"
    )


def name_of(function: Callable[..., object]) -> str:
    """What a record calls a function: by its own name, or that of its class where it has none."""
    return getattr(function, "__name__", type(function).__name__)


@dataclass(frozen=True, eq=False)
class FunctionAblation:
    """Any function of masks [m, n] -> outputs [m, t] as an `Ablation`."""

    function: Callable[[Bool[np.ndarray, "m n"]], Any]
    sources: Sources
    targets: Targets

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The function's outputs; raises `LlmattrError` when their shape is not [m, t]."""
        outputs = np.asarray(self.function(masks), dtype=float)
        expected = (len(masks), len(self.targets))
        if outputs.shape != expected:
            raise LlmattrError(f"the function gave outputs {outputs.shape} for masks {masks.shape}: expected {expected}")
        return outputs

    def record(self) -> dict[str, Any]:
        """Its name."""
        return {"function": name_of(self.function)}


def from_function(function: Callable[[Bool[np.ndarray, "m n"]], Any], n_sources: int, n_targets: int = 1) -> Ablation:
    """An `Ablation` from any black box: masks Bool[m, n] -> outputs [m, t] (True = the source is kept)."""
    check_number("n_sources", n_sources, 1, whole=True)
    names = [str(i) for i in range(n_sources)]
    targets = Targets([f"output {t}" for t in range(n_targets)], measure="value")
    return FunctionAblation(function, Sources("sources", names, [f"source {name}" for name in names]), targets)


def random_masks(m: int, n: int, keep: float = 0.5, seed: int = 0) -> Bool[np.ndarray, "m n"]:
    """m masks over n sources, each source kept with probability `keep`, independently.

    Mask s depends on s and the seed alone, so the first 64 of 256 are the 64 of a shorter run. Seed 0 gives the masks
    of context-cite 0.0.4: `RandomState(s).choice([False, True], n, p=[1 - keep, keep])`.
    """
    if not 0 < keep < 1:
        raise LlmattrError(f"keep must lie between 0 and 1 (the chance that a source stays), not {keep}")
    check_number("seed", seed, 0, 2**32, whole=True)
    draws = (np.random.RandomState(s if seed == 0 else [seed, s]) for s in range(m))
    masks = [draw.choice([False, True], size=n, p=[1 - keep, keep]) for draw in draws]
    return np.array(masks, dtype=bool).reshape(m, n)


def designed_masks(m: int, n: int, seed: int = 0) -> Bool[np.ndarray, "m n"]:
    """m masks over n sources by design: rows of a Hadamard matrix, then their complements, then the next matrix.

    n columns (but the constant one) of the least matrix with more than n, drawn by the seed and flipped by it. Any two of the
    columns agree in exactly half of the rows, so that a weight has the least variance that so many masks allow (Plackett and
    Burman 1946), about that of twice as many random masks; behind the complements (the fold-over) no weight is mixed with what
    two sources do together. The first 64 of 256 are the 64 of a shorter run.

    >>> masks = 2 * designed_masks(8, 7).astype(int) - 1
    >>> (masks.T @ masks == 8 * np.eye(7)).all()
    np.True_
    """
    check_number("seed", seed, 0, 2**32, whole=True)
    matrix = hadamard(next(order for order in itertools.count(n + 1) if _is_order(order)))
    folds = [_fold_over(matrix, n, np.random.default_rng([seed, k])) for k in range(math.ceil(m / (2 * len(matrix))))]
    return np.concatenate([np.empty((0, n), dtype=bool), *folds])[:m]


def _fold_over(matrix: Int[np.ndarray, "k k"], n: int, rng: np.random.Generator) -> Bool[np.ndarray, "two_k n"]:
    columns = 1 + rng.choice(len(matrix) - 1, size=n, replace=False)
    rows = rng.permutation(matrix)[:, columns] * rng.choice([-1, 1], size=n) > 0
    return np.concatenate([rows, ~rows])


def hadamard(order: int) -> Int[np.ndarray, "k k"]:
    """A matrix of 1 and -1 with orthogonal rows and a constant column: by doubling (Sylvester 1867), of primes (Paley 1933).

    Raises `LlmattrError` for an order that neither gives, as 28, 36 and 52.
    """
    if not _is_order(order):
        raise LlmattrError(f"there is no Hadamard matrix of order {order} by doubling or of a prime")
    if order == 1:
        return np.ones((1, 1), dtype=int)
    if _is_paley(order):
        q = order - 1
        squares = {x * x % q for x in range(1, q)}
        quadratic = np.array([0] + [1 if x in squares else -1 for x in range(1, q)])
        core = quadratic[np.subtract.outer(np.arange(q), np.arange(q)) % q] - np.eye(q, dtype=int)
        return np.block([[np.ones((1, 1), dtype=int), np.ones((1, q), dtype=int)], [np.ones((q, 1), dtype=int), core]])
    half = hadamard(order // 2)
    return np.block([[half, half], [half, -half]])


def _is_order(order: int) -> bool:
    return order in (1, 2) or _is_paley(order) or (order > 0 and order % 4 == 0 and _is_order(order // 2))


def _is_paley(order: int) -> bool:
    """Whether order - 1 is a prime of the form 4 k + 3."""
    q = order - 1
    return q > 0 and q % 4 == 3 and all(q % divisor for divisor in range(2, math.isqrt(q) + 1))


def one_out_masks(n: int) -> Bool[np.ndarray, "n_plus_1 n"]:
    """Everything kept, then each source removed alone."""
    return np.concatenate([np.ones((1, n), dtype=bool), ~np.eye(n, dtype=bool)])


def every_mask(n: int) -> Bool[np.ndarray, "two_to_n n"]:
    """All 2^n masks; the sources that row k keeps are the bits of k."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def permutation_masks(permutations: Int[np.ndarray, "r n"]) -> Bool[np.ndarray, "r n_plus_1 n"]:
    """For each order of the sources: none of them, the first, the first two ... all."""
    places = np.argsort(permutations, axis=1)
    return places[:, None, :] < np.arange(permutations.shape[1] + 1)[:, None]


def kernel_masks(
    m: int, n: int, seed: int = 0
) -> tuple[Bool[np.ndarray, "k n"], Float[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
    """At most m - 2 masks for the Shapley kernel, their weights (sum 1), and which were drawn; each followed by its opposite.

    A size s of 1 .. n - 1 has the share `1 / (s (n - s))` of all weight (up to a factor). Beginning with the smallest and the
    largest, every mask of a size is taken where the size's share of the masks suffices for them; the others are drawn.
    Lundberg and Lee 2017, arXiv 1705.07874, equation 8; opposites: Covert and Lee 2021, arXiv 2012.01536.
    """
    sizes = np.arange(1, n // 2 + 1)
    share = np.where(2 * sizes == n, 1.0, 2.0) / (sizes * (n - sizes))
    share, couples = share / share.sum(), (m - 2) // 2
    halves, weights = [], []
    first = 0
    for s in sizes.tolist():
        count = math.comb(n, s) // (2 if 2 * s == n else 1)
        if count > couples * share[first] / share[first:].sum() + 1e-9:
            break
        some = itertools.islice(itertools.combinations(range(n), s), count)  # of half the sources: those with source 0
        halves += [np.isin(np.arange(n), list(chosen)) for chosen in some]
        weights += [share[first] / count] * count
        couples, first = couples - count, first + 1
    whole, rng = len(halves), np.random.default_rng(seed)
    if first < len(sizes) and couples > 0:
        drawn = rng.choice(sizes[first:], size=couples, p=share[first:] / share[first:].sum())
        halves += [np.isin(np.arange(n), rng.choice(n, size=s, replace=False)) for s in drawn]
        weights += [share[first:].sum() / couples] * couples
    half = np.array(halves, dtype=bool).reshape(-1, n)
    masks = np.stack([half, ~half], axis=1).reshape(-1, n)
    return masks, np.repeat(weights, 2) / 2, np.repeat(np.arange(len(half)) >= whole, 2)
