"""Linear fits of one target, around a prior or not: what is fitted, and which penalty has the least held-out error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import check_number
from llmattr.surrogate.sampling import Column, Masks, Rows

Columns = Float[np.ndarray, "m p"]
Weights = Float[np.ndarray, " p"]
Alpha = float | Literal["auto"]
ColumnsOf = Callable[[Rows], Columns]  # the columns of all ablations, by what the training rows alone say

FOLDS = 5
AS_GOOD = 1e-6  # errors this near to the best, as a share of it, are as good: rounding chooses nothing
ROUNDING = 1e-12  # of the outputs: their variance, or their range


def check_alpha(alpha: Alpha) -> None:
    """Raise `LlmattrError` for what is no penalty."""
    check_number("alpha", alpha, 0, words=["auto"])


@dataclass(frozen=True, eq=False)
class Problem:
    """Standardised columns x [m, p] and outputs y [m] without what is not penalised: a constant, and the prior's prediction.

    Minimising `|outputs - b - s (columns @ prior) - x d|^2 + penalty(d)` over b, s and d is minimising `|y - x d|^2 +
    penalty(d)` over d alone (Frisch and Waugh 1933). Rows may have `counts`, and are then multiplied by their roots. Without a
    `level` b is 0.
    """

    x: Columns
    y: Column
    columns: Columns
    outputs: Column
    prior: Weights | None
    counts: Column
    std: Weights
    direction: Column | None  # of the prior's prediction, of length 1
    level: bool = True

    @staticmethod
    def of(
        columns: Columns, outputs: Column, prior: Weights | None, counts: Column | None = None, level: bool = True
    ) -> "Problem":
        """The problem of these rows."""
        counts = np.ones(len(outputs)) if counts is None else counts
        share, root = counts / counts.sum(), np.sqrt(counts)
        mean = share * level
        x = columns - mean @ columns
        std = np.sqrt(share @ x**2)
        std = np.where(std > 1e-12, std, 1.0)
        x, y = x / std * root[:, None], (outputs - mean @ outputs) * root
        plain = Problem(x, y, columns, outputs, None, counts, std, None, level)
        return plain if prior is None else plain.around(prior)

    def around(self, prior: Weights) -> "Problem":
        """The same without what the prior predicts; a prior that says the same of all rows is none."""
        z = self.x @ (prior * self.std)
        length = np.linalg.norm(z)
        if not length > 1e-9 * np.abs(prior).max() * np.sqrt(self.counts.sum()):
            return replace(self, prior=prior)
        direction = z / length
        x, y = self.x - np.outer(direction, direction @ self.x), self.y - direction * (direction @ self.y)
        return replace(self, x=x, y=y, prior=prior, direction=direction)

    def solution(self, d: Float[np.ndarray, "*a p"]) -> tuple[Float[np.ndarray, "*a p"], Any]:
        """Weights `s prior + d / std` for raw columns, and intercepts."""
        weights, share = d / self.std, self.level * self.counts / self.counts.sum()
        mean, level = share @ self.columns, share @ self.outputs
        if self.prior is not None and self.direction is not None:
            weights = weights + np.multiply.outer(self._scale(self.prior, weights, mean, level), self.prior)
        return weights + 0.0, level - weights @ mean

    def _scale(
        self, prior: Weights, weights: Float[np.ndarray, "*a p"], mean: Weights, level: float
    ) -> float | Float[np.ndarray, "*a"]:
        """How much of the prior there is in what these weights leave."""
        z = (self.columns - mean) @ prior
        rest = self.outputs - level - weights @ (self.columns - mean).T
        return rest @ (self.counts * z) / (self.counts @ z**2)

    @property
    def opposes(self) -> bool:
        """Whether the prior predicts the reverse of the outputs: then it is none."""
        if self.prior is None or self.direction is None:
            return True
        return bool(self.direction @ ((self.outputs - np.average(self.outputs, weights=self.counts)) * self.counts**0.5) <= 0)


def problems(
    columns: Columns,
    outputs: Column,
    prior: Weights | None,
    alpha: Alpha,
    *,
    counts: Column | None = None,
    level: bool = True,
) -> list[Problem]:
    """What to fit: around the prior, unless it opposes; without it where there is none, and beside it for a chosen penalty."""
    check_alpha(alpha)
    plain = Problem.of(columns, outputs, None, counts, level)
    around = None if prior is None else plain.around(prior)
    if around is None or around.opposes:
        return [plain]
    return [around, plain] if alpha == "auto" else [around]


class Candidates(NamedTuple):
    """Fits of one problem, the strongest penalty first."""

    problem: Problem
    alphas: Float[np.ndarray, " a"]
    weights: Float[np.ndarray, "a p"]
    intercepts: Float[np.ndarray, " a"]
    predictions: Float[np.ndarray, "a m"]  # of held-out ablations
    levels: Float[np.ndarray, "a m"]  # what the same fit expects of the mean of all ablations


class Model(NamedTuple):
    """A fit of one target: `outputs = intercept + columns @ weights`.

    `predicted` [m] is what fits that did not see an ablation expect of it, less what they expect of the mean of all ablations
    (a fit that did not see a high output has a low intercept, which says nothing of its weights); `errors` [m] is how far off
    they are. `refit(rows)` fits again, with the same penalty.
    """

    weights: Weights
    intercept: float
    predicted: Column
    errors: Column
    refit: Callable[[Rows], Weights]
    alpha: float
    around_prior: bool


def choose(columns: Columns, outputs: Column, kinds: Sequence[Candidates], solve: Callable[[Problem, float], Weights]) -> Model:
    """The candidate with the least held-out error; of equally good ones the first, which is the one nearest to the prior.

    The prior alone gives way only to what is clearly better. `solve` minimises a problem at a penalty, to fit other rows again.
    """
    squares = [np.nan_to_num((outputs - kind.predictions) ** 2, nan=np.inf) for kind in kinds]
    errors = [square.mean(axis=1) for square in squares]
    good = min(error.min() for error in errors) * (1 + AS_GOOD) + ROUNDING * outputs.var()
    which = next(k for k, error in enumerate(errors) if error.min() <= good)
    best = int(np.argmax(errors[which] <= good))
    if kinds[0].problem.prior is not None and about_as_good(squares[0][0], squares[which][best]):
        which, best = 0, 0
    kind = kinds[which]
    alpha, prior = float(kind.alphas[best]), kind.problem.prior
    known = np.isfinite(kind.predictions[best])  # with too few ablations none can be left out
    predictions = np.where(known, kind.predictions[best], outputs.mean())

    def refit(rows: Rows) -> Weights:
        problem = Problem.of(columns[rows], outputs[rows], prior, level=kind.problem.level)
        return problem.solution(solve(problem, alpha))[0]

    return Model(
        weights=kind.weights[best],
        intercept=float(kind.intercepts[best]),
        predicted=np.where(known, predictions - kind.levels[best], 0.0),
        errors=outputs - predictions,
        refit=refit,
        alpha=alpha,
        around_prior=prior is not None,
    )


def about_as_good(alone: Column, best: Column) -> bool:
    """Whether squared errors are known and larger by no more than half a standard error of the difference."""
    if not np.isfinite(alone).all():
        return False
    gain = alone - best
    return bool(gain.mean() <= 0.5 * gain.std() / max(len(gain) - 1, 1) ** 0.5)


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


def mean_model(one: Model, other: Model) -> Model:
    """The mean of two models, with the first one's penalty."""
    return Model(
        weights=(one.weights + other.weights) / 2,
        intercept=(one.intercept + other.intercept) / 2,
        predicted=(one.predicted + other.predicted) / 2,
        errors=(one.errors + other.errors) / 2,
        refit=lambda rows: (one.refit(rows) + other.refit(rows)) / 2,
        alpha=one.alpha,
        around_prior=one.around_prior or other.around_prior,
    )
