"""Choosing a fit by its error on held-out ablations: what is fitted, the candidates, and which ablations are held out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

Masks = Bool[np.ndarray, "m n"]
Outputs = Float[np.ndarray, "m t"]
Columns = Float[np.ndarray, "m p"]
Alpha = float | Literal["auto"]

FOLDS = 5
SAME = 1e-6, 1e-12  # errors this near to the best (of it, of the outputs' variance) are as good: rounding chooses nothing


class Model(NamedTuple):
    """A fit of one target: `outputs = intercept + columns @ weights`.

    `predicted` [m] is what fits that did not see an ablation expect of it, less what they expect of the mean of all ablations
    (a fit that did not see a high output has a low intercept, which says nothing of its weights); `errors` [m] is how far off
    they are. `refit(rows)` fits again, with the same penalty.
    """

    weights: Float[np.ndarray, " p"]
    intercept: float
    predicted: Float[np.ndarray, " m"]
    errors: Float[np.ndarray, " m"]
    refit: Callable[[Int[np.ndarray, " k"]], Float[np.ndarray, " p"]]
    alpha: float
    around_prior: bool


@dataclass(frozen=True, eq=False)
class Problem:
    """Standardised columns x [m, p] and outputs y [m] without what is not penalised: a constant, and the prior's prediction.

    Minimising `|outputs - b - s (columns @ prior) - x d|^2 + penalty(d)` over b, s and d is minimising `|y - x d|^2 +
    penalty(d)` over d alone (Frisch and Waugh 1933). Rows may have `counts`, and are then multiplied by their roots.
    """

    x: Columns
    y: Float[np.ndarray, " m"]
    columns: Columns
    outputs: Float[np.ndarray, " m"]
    prior: Float[np.ndarray, " p"] | None
    counts: Float[np.ndarray, " m"]
    std: Float[np.ndarray, " p"]
    direction: Float[np.ndarray, " m"] | None  # of the prior's prediction, of length 1

    @staticmethod
    def of(
        columns: Columns,
        outputs: Float[np.ndarray, " m"],
        prior: Float[np.ndarray, " p"] | None,
        counts: Float[np.ndarray, " m"] | None = None,
    ) -> "Problem":
        """The problem of these rows; a prior that says the same of all of them is none."""
        counts = np.ones(len(outputs)) if counts is None else counts
        share, root = counts / counts.sum(), np.sqrt(counts)
        x = columns - share @ columns
        std = np.sqrt(share @ x**2)
        std = np.where(std > 1e-12, std, 1.0)
        x, y, direction = x / std * root[:, None], (outputs - share @ outputs) * root, None
        if prior is not None:
            z = x @ (prior * std)
            length = np.linalg.norm(z)
            if length > 1e-9 * np.abs(prior).max() * np.sqrt(counts.sum()):
                direction = z / length
                x, y = x - np.outer(direction, direction @ x), y - direction * (direction @ y)
        return Problem(x, y, columns, outputs, prior, counts, std, direction)

    def solution(self, d: Float[np.ndarray, "*a p"]) -> tuple[Float[np.ndarray, "*a p"], Any]:
        """Weights `s prior + d / std` for raw columns, and intercepts."""
        weights, share = d / self.std, self.counts / self.counts.sum()
        mean, level = share @ self.columns, share @ self.outputs
        if self.direction is not None:
            assert self.prior is not None
            z = (self.columns - mean) @ self.prior
            rest = self.outputs - level - weights @ (self.columns - mean).T
            weights = weights + np.multiply.outer(rest @ (self.counts * z) / (self.counts @ z**2), self.prior)
        return weights + 0.0, level - weights @ mean

    @property
    def opposes(self) -> bool:
        """Whether the prior predicts the reverse of the outputs: then it is none."""
        if self.prior is None or self.direction is None:
            return True
        return bool(self.direction @ ((self.outputs - np.average(self.outputs, weights=self.counts)) * self.counts**0.5) <= 0)


class Candidates(NamedTuple):
    """Fits of one kind, the strongest penalty first."""

    alphas: Float[np.ndarray, " a"]
    weights: Float[np.ndarray, "a p"]
    intercepts: Float[np.ndarray, " a"]
    predictions: Float[np.ndarray, "a m"]  # of held-out ablations
    levels: Float[np.ndarray, "a m"]  # what the same fit expects of the mean of all ablations
    refit: Callable[[float], Callable[[Any], Float[np.ndarray, " p"]]]


def choose(outputs: Float[np.ndarray, " m"], around_prior: Candidates | None, plain: Candidates | None) -> Model:
    """The candidate with the least held-out error; of equally good ones (see `SAME`) the one nearest to the prior.

    The prior alone gives way only where squared errors are less by more than half a standard error of the difference.
    """
    kinds = [kind for kind in (around_prior, plain) if kind is not None]
    squares = [np.nan_to_num((outputs - kind.predictions) ** 2, nan=np.inf) for kind in kinds]
    errors = [square.mean(axis=1) for square in squares]
    good = min(error.min() for error in errors) * (1 + SAME[0]) + SAME[1] * outputs.var()
    which = next(k for k, error in enumerate(errors) if error.min() <= good)
    kind, best = kinds[which], int(np.argmax(errors[which] <= good))
    if around_prior is not None and np.isfinite(errors[0][0]):
        gain = squares[0][0] - squares[which][best]
        if gain.mean() <= 0.5 * gain.std() / max(len(gain) - 1, 1) ** 0.5:
            kind, best = around_prior, 0
    alpha = float(kind.alphas[best])
    known = np.isfinite(kind.predictions[best])  # with too few ablations none can be left out
    predictions = np.where(known, kind.predictions[best], outputs.mean())
    return Model(
        weights=kind.weights[best],
        intercept=float(kind.intercepts[best]),
        predicted=np.where(known, predictions - kind.levels[best], 0.0),
        errors=outputs - predictions,
        refit=kind.refit(alpha),
        alpha=alpha,
        around_prior=kind is around_prior,
    )


def distinct(masks: Masks) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, " m"], Float[np.ndarray, " g"]]:
    """The first row of each distinct mask, which of these each row equals, and how often each occurs."""
    _, rows, inverse, counts = np.unique(masks, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return rows, inverse.reshape(-1), counts.astype(float)


def mask_folds(masks: Masks) -> Int[np.ndarray, " m"]:
    """The fold of each ablation: 5 of them, or one for each distinct mask where there are fewer than 10.

    Equal masks share a fold: what was seen must not be held out.
    """
    rows, inverse, _ = distinct(masks)
    folds = FOLDS if len(rows) >= 2 * FOLDS else len(rows)
    first = np.argsort(np.argsort(rows))  # numbered as they were drawn
    return np.random.default_rng(0).permutation(len(rows))[first][inverse] % folds


def alphas_of(models: Sequence[Model]) -> list[float | None]:
    """The penalties for the record; None is an infinite one, which leaves the prior alone or nothing."""
    return [model.alpha if np.isfinite(model.alpha) else None for model in models]
