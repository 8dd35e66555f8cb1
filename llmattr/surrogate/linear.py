"""Linear fits of one target: lasso and ridge, around a prior or not, their penalty chosen by held-out error."""

import warnings
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


def _problems(
    columns: Columns,
    outputs: Column,
    prior: Weights | None,
    alpha: Alpha,
    *,
    counts: Column | None = None,
    level: bool = True,
) -> list[Problem]:
    """What to fit: around the prior, unless it opposes; without it where there is none, and beside it for a chosen penalty."""
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


def lasso_model(
    masks: Masks,
    outputs: Column,
    alpha: Alpha,
    prior: Weights | None = None,
    *,
    columns_of: ColumnsOf | None = None,
    level: bool = True,
) -> Model:
    """The lasso of one target, by cross-validation over folds of distinct masks.

    The columns are the masks where no `columns_of` is given; `level`: whether there is an intercept. alpha "auto": no weight at
    all, penalties from the least that leaves none down to 1/300 of it, and, where four fifths of the distinct ablations are
    more than the weights, no penalty.
    """
    check_alpha(alpha)
    columns_of = columns_of or (lambda rows: masks.astype(float))
    columns, folds = columns_of(np.arange(len(masks))), mask_folds(masks)
    kinds = []
    for problem in _problems(columns, outputs, prior, alpha, level=level):
        alphas = _lasso_alphas(problem, masks) if alpha == "auto" else np.array([alpha])
        weights, intercepts = problem.solution(lasso_path(problem.x, problem.y, alphas, 1e-6))
        kinds.append(Candidates(problem, alphas, weights, intercepts, *_left_out(problem, columns_of, folds, alphas)))
    model = choose(columns, outputs, kinds, lambda problem, alpha: lasso_path(problem.x, problem.y, np.array([alpha]))[0])
    dust = np.abs(model.weights) <= ROUNDING * np.ptp(outputs)  # rounding is no effect
    return model._replace(weights=np.where(dust, 0.0, model.weights))


def _lasso_alphas(problem: Problem, masks: Masks) -> Float[np.ndarray, " a"]:
    largest = np.abs(problem.x.T @ problem.y).max(initial=0.0) / len(problem.y)
    grid = [np.inf, *(largest * np.geomspace(1, 1 / 300, 25)[1:])] if largest > 0 else [np.inf]
    least_squares = (1 - 1 / FOLDS) * len(np.unique(masks, axis=0)) > problem.x.shape[1] + 1
    return np.array([*grid, 0.0] if least_squares else grid)


def _left_out(
    problem: Problem, columns_of: ColumnsOf, folds: Int[np.ndarray, " m"], alphas: Float[np.ndarray, " a"]
) -> Float[np.ndarray, "2 a m"]:
    """What lassos that did not see an ablation's fold expect of it, and of the mean of all ablations; nan of one mask alone."""
    predictions, levels = found = np.full((2, len(alphas), len(folds)), np.nan)
    for fold in range(folds.max() + 1 if folds.any() else 0):
        seen, left = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        columns = columns_of(seen)
        known = Problem.of(columns[seen], problem.outputs[seen], problem.prior, level=problem.level)
        weights, intercepts = known.solution(lasso_path(known.x, known.y, alphas))
        predictions[:, left] = intercepts[:, None] + weights @ columns[left].T
        levels[:, left] = (intercepts + weights @ columns.mean(axis=0))[:, None]
    return found


def lasso_path(x: Columns, y: Column, alphas: Float[np.ndarray, " a"], tol: float = 1e-4) -> Float[np.ndarray, "a p"]:
    """Minimisers of `|y - x d|^2 / (2 m) + alpha |d|_1` for alphas that fall: infinity leaves no weight, 0 is least squares."""
    from sklearn import config_context, linear_model
    from sklearn.exceptions import ConvergenceWarning

    found = np.zeros((len(alphas), x.shape[1]))
    inside = np.isfinite(alphas) & (alphas > 0)
    if inside.any() and x.any() and y.any():
        options: dict[str, Any] = {"alphas": alphas[inside], "tol": tol, "max_iter": 10_000, "check_input": False}
        options |= {"precompute": np.ascontiguousarray(x.T @ x), "Xy": x.T @ y}
        with config_context(assume_finite=True, skip_parameter_validation=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # held-out error judges what was found
            found[inside] = linear_model.lasso_path(np.asfortranarray(x), y, **options)[1].T
    if (alphas == 0).any():
        found[alphas == 0] = np.linalg.lstsq(x, y, rcond=1e-10)[0]
    return found


def ridge_model(
    masks: Masks,
    outputs: Column,
    alpha: Alpha,
    prior: Weights | None = None,
    *,
    columns: Columns | None = None,
    level: bool = True,
) -> Model:
    """Ridge of one target; each distinct mask is left out once, in closed form. Columns and `level` as for `lasso_model`.

    alpha "auto": no weight at all, 10^3 to 10^-6 times the number of ablations, four to a power of ten, or no penalty.
    """
    check_alpha(alpha)
    columns = masks.astype(float) if columns is None else columns
    alphas = ridge_alphas(len(masks)) if alpha == "auto" else np.array([alpha])
    rows, inverse, counts = distinct(masks)
    m = len(masks)
    means = np.bincount(inverse, outputs) / counts
    rest = np.where(counts < m, (outputs.sum() - counts * means) / np.maximum(m - counts, 1), means)
    kinds = []
    for problem in _problems(columns[rows], means, prior, alpha, counts=counts, level=level):
        fits = ridge_fits(problem, alphas, rest)
        kinds.append(fits._replace(predictions=fits.predictions[:, inverse], levels=fits.levels[:, inverse]))
    return choose(columns, outputs, kinds, squared_fit)


def ridge_alphas(m: int) -> Float[np.ndarray, " a"]:
    """The penalties that are tried on m ablations, the strongest first."""
    return np.array([np.inf, *(m * 10.0 ** np.arange(3, -6.01, -0.25)), 0.0])


def ridge_fits(problem: Problem, alphas: Float[np.ndarray, " a"], rest: Column) -> Candidates:
    """Every penalty's ridge; `rest` [m] are the mean outputs of the ablations without each mask.

    With H the matrix that turns outputs into fitted values, the error of an ablation that was left out is
    `residual / (1 - H_ii)` (Allen 1974).
    """
    counts, m = problem.counts, problem.counts.sum()
    u, s, vt = np.linalg.svd(problem.x, full_matrices=False)
    s = np.where(s > 1e-10 * s.max(initial=0.0), s, 0.0)
    divisor, turned = np.where(s > 0, s, 1.0), u.T @ problem.y
    kept = np.where(s > 0, 1 / (1 + alphas[:, None] / divisor**2), 0.0)  # s^2 / (s^2 + alpha) of each singular direction [a, k]
    weights, intercepts = problem.solution((kept / divisor * turned) @ vt)
    leverage = kept @ (u**2).T + problem.level * counts / m + (0.0 if problem.direction is None else problem.direction**2)
    residual = problem.y - (kept * turned) @ u.T
    left = np.where(leverage < 1 - 1e-9, residual / np.maximum(1 - leverage, 1e-9), np.nan) / np.sqrt(counts)
    predictions = problem.outputs - left
    predictions[0] = np.where(np.isnan(predictions[0]), rest, predictions[0])  # two masks cannot tell the prior's scale
    levels = predictions - (predictions - rest) * (1 - counts / m)  # the mean of all, not of those that were seen
    return Candidates(problem, alphas, weights, intercepts, predictions, levels)


def squared_fit(problem: Problem, alpha: float) -> Weights:
    """The minimiser of `|y - x d|^2 + alpha |d|^2`, by whichever of rows and columns are fewer."""
    x, y = problem.x, problem.y
    m, p = x.shape
    if not np.isfinite(alpha):
        return np.zeros(p)
    if alpha == 0:
        return np.linalg.lstsq(x, y, rcond=1e-10)[0]
    if alpha <= 1e-9 * m:
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        return (s / (s**2 + alpha) * (u.T @ y)) @ vt
    if m < p:
        return x.T @ np.linalg.solve(x @ x.T + alpha * np.eye(m), y)
    return np.linalg.solve(x.T @ x + alpha * np.eye(p), x.T @ y)


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
