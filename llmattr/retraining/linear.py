"""Linear models that know what they would be without a row: least squares exactly, generalised ones by one Newton step.

Signs: an effect is "with the row less without it", so positive = the row raised the coefficient or the prediction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.errors import LlmattrError, check_number

STEPS = 100  # of Newton's method
SMALLEST = 1e-12  # what is left of a removal's matrix, or of a pivot, when a coefficient rests on the removed rows alone


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Coefficients B [d, *k] that minimise `|y - x B|^2 + penalty |B|^2` for rows x [n, d] and one or k outputs y [n, *k].

    With `A = (x'x + penalty I)^-1`, residuals `e = y - x B` and leverages `h_j = x_j' A x_j`, leave-one-out is
    `B_-j = B - A x_j e_j / (1 - h_j)` (Sherman and Morrison 1950; Cook 1977, Technometrics 19(1)): exact, no fit is made again.
    Raises `LlmattrError` where a coefficient would be undetermined.
    """

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n *k"]
    penalty: float = 0.0

    @cached_property
    def inverse(self) -> Float[np.ndarray, "d d"]:
        """`A = (x'x + penalty I)^-1` [d, d]."""
        return _inverse(self.x.T @ self.x + self.penalty * np.eye(self.x.shape[1]))

    @cached_property
    def solved(self) -> Float[np.ndarray, "n d"]:
        """`A x_j` of every row, side by side [n, d]."""
        return self.x @ self.inverse

    @cached_property
    def coefficients(self) -> Float[np.ndarray, "d *k"]:
        """The coefficients `B = A x'y` [d, *k] of the fit on all rows."""
        return self.solved.T @ self.y

    @cached_property
    def residuals(self) -> Float[np.ndarray, "n *k"]:
        """The residuals `e = y - x B` [n, *k], in the outputs' unit."""
        return self.y - self.x @ self.coefficients

    @cached_property
    def leverages(self) -> Float[np.ndarray, " n"]:
        """The leverages `h_j = x_j' A x_j` [n], from 0 to 1: how much a row decides its own prediction."""
        return (self.x * self.solved).sum(axis=1)

    @cached_property
    def left_out_residuals(self) -> Float[np.ndarray, "n *k"]:
        """What each row would be missed by if it had been left out: `y_j - x_j' B_-j = e_j / (1 - h_j)` (Allen 1974)."""
        left = 1 - self.leverages
        if (left < SMALLEST).any():
            raise LlmattrError(f"row {left.argmin()} alone determines a coefficient, so it cannot be left out: take a penalty")
        return (self.residuals.T / left).T

    def parameter_effects(self) -> Float[np.ndarray, "n d *k"]:
        """What each row did to the coefficients: `B - B_-j = A x_j e_j / (1 - h_j)`, of all rows at once."""
        return np.einsum("nd,n...->nd...", self.solved, self.left_out_residuals)

    def prediction_effects(self, queries: Float[np.ndarray, "t d"]) -> Float[np.ndarray, "t n *k"]:
        """What each row did to the predictions for these queries: `q' (B - B_-j)`, of all rows at once."""
        return np.einsum("tn,n...->tn...", queries @ self.solved.T, self.left_out_residuals)

    def influence(self) -> Float[np.ndarray, "n d *k"]:
        """`dB/dw_j = A x_j e_j`, the derivative by a row's weight: `1 - h_j` times the effect, so always too small."""
        return np.einsum("nd,n...->nd...", self.solved, self.residuals)

    def residuals_without(self, rows: Int[np.ndarray, " s"]) -> Float[np.ndarray, "s *k"]:
        """What these rows S would be missed by if they had been left out together: `(I - x_S A x_S')^-1 e_S`."""
        left = np.eye(len(rows)) - self.x[rows] @ self.solved[rows].T
        if len(rows) and np.linalg.eigvalsh(left)[0] < SMALLEST:
            raise LlmattrError(f"a coefficient rests on the {len(rows)} removed rows alone: take a penalty")
        return np.linalg.solve(left, self.residuals[rows])

    def without(self, rows: Int[np.ndarray, " s"]) -> Float[np.ndarray, "d *k"]:
        """The coefficients of a fit without these rows S: `B - A x_S' (I - x_S A x_S')^-1 e_S` (Woodbury 1950)."""
        return self.coefficients - self.solved[rows].T @ self.residuals_without(rows)


@dataclass(frozen=True, eq=False)
class Glm:
    """A fitted generalised linear model: coefficients B [d, k] that minimise `sum_i l_i(x_i' B) + penalty / 2 |B|^2`.

    `slopes` g_i [n, k] and `curvatures` D_i [n, k, k] are the first and second derivatives of each row's loss l_i by its k
    linear predictors, at B. Made by `logistic` (k = 1) and `softmax` (k classes).
    """

    x: Float[np.ndarray, "n d"]
    coefficients: Float[np.ndarray, "d k"]
    slopes: Float[np.ndarray, "n k"]
    curvatures: Float[np.ndarray, "n k k"]
    penalty: float

    @cached_property
    def inverse(self) -> Float[np.ndarray, "d k d k"]:
        """H^-1, where `H = sum_i x_i x_i' (x) D_i + penalty I` is the objective's second derivative."""
        return _inverse(_hessian(self.x, self.curvatures, self.penalty)).reshape(self.coefficients.shape * 2)

    def without(self, rows: Int[np.ndarray, " s"]) -> Float[np.ndarray, "d k"]:
        """Approximately the coefficients of a fit without these rows: one Newton step on the objective without them.

        With k = 1 and one row `B + H^-1 x_j l'_j / (1 - l''_j x_j' H^-1 x_j)`; in general, with the columns U of `x_j (x) I` of
        all the rows, `B + H^-1 U (I - D U' H^-1 U)^-1 g`. Exact for a squared loss. Beirami et al. 2017 (NIPS); Rad
        and Maleki 2020, arXiv 1801.10243.
        """
        x, (s, k) = self.x[rows], self.slopes[rows].shape
        solved = np.tensordot(x, self.inverse, axes=(1, 0))  # H^-1 U, one [d, k] for each row and each of its predictors
        between = np.einsum("sa,zmal->slzm", x, solved)  # U' H^-1 U
        curved = np.einsum("slm,smzp->slzp", self.curvatures[rows], between).reshape(s * k, s * k)
        weights = np.linalg.solve(np.eye(s * k) - curved, self.slopes[rows].ravel()).reshape(s, k)
        return self.coefficients + np.einsum("slak,sl->ak", solved, weights)

    def parameter_effects(self) -> Float[np.ndarray, "n d k"]:
        """What each row did to the coefficients, `B - B_-j`, by `without`."""
        return np.stack([self.coefficients - self.without(np.array([row])) for row in range(len(self.x))])

    def influence(self) -> Float[np.ndarray, "n d k"]:
        """`dB/dw_j = -H^-1 grad l_j`, the derivative by a row's weight: without row j about `B + H^-1 grad l_j` is left.

        Koh and Liang 2017, arXiv 1703.04730; the infinitesimal jackknife (Giordano et al. 2019, arXiv 1806.00550).
        """
        return -np.tensordot(np.einsum("na,nk->nak", self.x, self.slopes), self.inverse, axes=2)


def jackknife_variance(influence: Float[np.ndarray, "n *d"]) -> Float[np.ndarray, "*d"]:
    """The infinitesimal jackknife's variance of every coefficient over data of this kind: `n^-2 sum_i U_i^2`.

    U_i = n dB/dw_i is the influence function, so it is the sum of the squares of these derivatives (Jaeckel 1972; Efron 1982).
    """
    return (influence**2).sum(axis=0)


def logistic(x: Float[np.ndarray, "n d"], y: Bool[np.ndarray, " n"], penalty: float = 0.0) -> Glm:
    """Logistic regression, `l_i(z) = log(1 + e^z) - y_i z`; the coefficients are [d, 1]."""

    def loss(z: Float[np.ndarray, "n 1"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from scipy.special import expit

        p = expit(z)
        return np.logaddexp(0, z)[:, 0] - y * z[:, 0], p - y[:, None], (p * (1 - p))[:, :, None]

    return _fitted(x, 1, penalty, loss)


def softmax(x: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], classes: int, penalty: float) -> Glm:
    """Multinomial logistic regression, `l_i(z) = log sum_c e^z_c - z_{label i}`; the coefficients are [d, classes].

    The penalty must be above 0: the same number added to every class changes nothing but the penalty.
    """
    check_number("penalty", penalty, SMALLEST)

    def loss(z: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        said = log_softmax(z)
        p, one_hot = np.exp(said), np.eye(classes)[labels]
        return -said[np.arange(len(labels)), labels], p - one_hot, p[:, :, None] * (np.eye(classes) - p[:, None, :])

    return _fitted(x, classes, penalty, loss)


def log_softmax(z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Log-probabilities of k classes."""
    from scipy.special import log_softmax as of

    return of(z, axis=1)


def _fitted(x: np.ndarray, k: int, penalty: float, loss: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> Glm:
    """Newton's method from 0, with shorter steps where a whole one does not lower the objective."""
    at = np.zeros((x.shape[1], k))

    def objective(b: np.ndarray) -> float:
        return float(loss(x @ b)[0].sum() + penalty / 2 * (b**2).sum())

    for _ in range(STEPS):
        _, slopes, curvatures = loss(x @ at)
        gradient = x.T @ slopes + penalty * at
        step = _solve(_hessian(x, curvatures, penalty), gradient.ravel()).reshape(at.shape)
        at = at - _length(objective, at, step, float((gradient * step).sum())) * step
        if np.abs(step).max() <= 1e-12 * max(1.0, np.abs(at).max()):
            _, slopes, curvatures = loss(x @ at)
            return Glm(x, at, slopes, curvatures, float(penalty))
    raise LlmattrError(f"the fit has not settled after {STEPS} Newton steps: take a larger penalty than {penalty}")


def _length(objective: Callable[[np.ndarray], float], at: np.ndarray, step: np.ndarray, slope: float) -> float:
    """The first of 1, 1/2, 1/4 ... that lowers the objective enough (Armijo); rounding is no obstacle."""
    before, length = objective(at), 1.0
    while objective(at - length * step) > before - 1e-4 * length * slope + 1e-12 * abs(before) and length > 1e-9:
        length /= 2
    return length


def _hessian(x: np.ndarray, curvatures: np.ndarray, penalty: float) -> Float[np.ndarray, "dk dk"]:
    """`sum_i x_i x_i' (x) D_i + penalty I`, one class after the other."""
    (n, d), k = x.shape, curvatures.shape[1]
    made = np.empty((d, k, d, k))
    for c in range(k):
        weighed = (x[:, :, None] * curvatures[:, None, c, :]).reshape(n, d * k)
        made[:, c] = (x.T @ weighed).reshape(d, d, k)
    return made.reshape(d * k, d * k) + penalty * np.eye(d * k)


def _factor(matrix: np.ndarray) -> Any:
    from scipy.linalg import LinAlgError, cho_factor

    try:
        factor = cho_factor(matrix, lower=True)
        if (np.diag(factor[0]) ** 2 > SMALLEST * np.diag(matrix)).all():
            return factor
    except LinAlgError:
        pass
    raise LlmattrError("the rows do not determine every coefficient: take a (larger) penalty")


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    from scipy.linalg import cho_solve

    return cho_solve(_factor(matrix), vector)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_solve(matrix, np.eye(len(matrix))))  # in this order products with it need no copy
