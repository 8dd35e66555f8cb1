"""`(H + damping I)^-1 b` for a symmetric positive semidefinite matrix H of which only products with vectors are known.

`product` multiplies every row of [t, d] with H. What is solved is every row of b at once, in the type of b.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float

from llmattr.core.progress import progress
from llmattr.core.seeded import gaussian, generator
from llmattr.errors import LlmattrError, note

Product = Callable[[torch.Tensor], torch.Tensor]
MARGIN = 1.1  # LiSSA's scale over the largest eigenvalue, which power iteration finds from below
ROUGH = 0.1  # the residual at which LiSSA's sum is noted as cut off


def cg(
    product: Product, b: Float[torch.Tensor, "t d"], damping: float, tolerance: float = 1e-8, most: int = 1000
) -> Float[torch.Tensor, "t d"]:
    """Conjugate gradients (Hestenes and Stiefel 1952), each row until `|b - (H + damping I) x| <= tolerance |b|`.

    Rows that are done are multiplied no more. Notes rows that are not done after `most` steps; raises `LlmattrError` where H +
    damping I is not positive definite.
    """
    x, residual, direction = torch.zeros_like(b), b.clone(), b.clone()
    squares = residual.square().sum(1)
    whole, goal = squares.clone(), tolerance**2 * squares
    for _ in progress(range(most), "solving", "steps at most"):
        rows = (squares > goal).nonzero()[:, 0]
        if not len(rows):
            return x
        along = direction[rows]
        curved = product(along) + damping * along
        curvature = (along * curved).sum(1)
        if not (curvature > 0).all():
            raise LlmattrError("the curvature is not positive along a gradient: give a larger damping")
        step = (squares[rows] / curvature)[:, None]
        x[rows] += step * along
        residual[rows] -= step * curved
        now = residual[rows].square().sum(1)
        direction[rows] = residual[rows] + (now / squares[rows])[:, None] * along
        squares[rows] = now
    left = squares > goal
    if left.any():
        worst = (squares[left] / whole[left]).sqrt().max().item()
        note(
            f"conjugate gradients stopped after {most} steps, with a residual of up to {worst:.1e} of the gradient in "
            f"{int(left.sum())} of {len(b)} rows: give more steps or a larger damping"
        )
    return x


def lissa(
    product: Product, b: Float[torch.Tensor, "t d"], damping: float, scale: float = 0.0, steps: int = 1000
) -> Float[torch.Tensor, "t d"]:
    """The first `steps` + 1 terms of Neumann's series `(1/s) sum_j (I - (H + damping I) / s)^j b`, s the scale.

    LiSSA (arXiv 1602.03943; influence: arXiv 1703.04730) over all of the data: `x_0 = b`, `x_{k+1} = b + (I - (H + damping
    I) / s) x_k`, and `x_T / s` is returned. With `H + damping I = Q diag(l) Q'` its residual is `Q (1 - l/s)^(T+1) Q' b`: it
    falls while s > l_max / 2, and takes s / l_min steps to fall by e. Scale 0 is 1.1 l_max, l_max by power iteration. Notes a
    residual that is left above 0.1 of b, and raises `LlmattrError` when one grows.
    """
    scale = scale or MARGIN * (largest_eigenvalue(product, b) + damping)
    x, size, left = b.clone(), b.norm(dim=1), torch.zeros(len(b), dtype=b.dtype, device=b.device)
    for _ in progress(range(steps), "solving", "steps"):
        residual = b - (product(x) + damping * x) / scale
        left = residual.norm(dim=1)
        if not (left <= 1.01 * size).all():
            raise LlmattrError(
                f"Neumann's series diverges with the scale {scale:.3g}: it must be above half of the largest eigenvalue of the "
                "damped curvature; give a larger one, or 0 to have it estimated"
            )
        x += residual
    worst = (left / size.clamp(min=torch.finfo(b.dtype).tiny)).max().item()
    if worst > ROUGH:
        share = f"{worst:.0%} of the gradient"
        note(f"Neumann's series was cut off after {steps} steps at a residual of {share}: more steps, or more damping")
    return x / scale


def preconditioned(product: Product, root: Product, damping: float) -> Product:
    """`v -> R (H + damping I) R v`: its solution y for R b is `x = R y` of `(H + damping I) x = b`.

    `root` multiplies with a symmetric R, near `(H + damping I)^-1/2`, so that this is near I. Conjugate gradients take here the
    steps of those that are preconditioned with `P = R R` (Saad 2003, algorithms 9.1 and 9.2), and Neumann's series those of
    `x += P (b - (H + damping I) x) / s`. Residuals r are measured as `|R r|`, the energy norm of the error where P is exact.
    """

    def split(v: torch.Tensor) -> torch.Tensor:
        turned = root(v)
        return root(product(turned) + damping * turned)

    return split


def largest_eigenvalue(product: Product, like: Float[torch.Tensor, "t d"], steps: int = 20) -> float:
    """H's largest eigenvalue by power iteration from a fixed random start; what is found is a little below it."""
    v = gaussian(1, like.shape[1], 0, "largest").to(like)
    found = 0.0
    for _ in range(steps):
        v = v / v.norm()
        curved = product(v)
        found = (v * curved).sum().item()
        if found <= 0:
            return 0.0
        v = curved
    return found


def mean_eigenvalue(product: Product, like: Float[torch.Tensor, "t d"], seed: int = 0, probes: int = 8) -> float:
    """`trace(H) / d`, the mean of `z' H z / d` over random signs z (Hutchinson 1990).

    Its standard error is at most `sqrt(2 / probes) |H|_F / d`.
    """
    total = 0.0
    for probe in range(probes):
        bits = generator(seed, "trace", str(probe)).integers(2, size=(1, like.shape[1]))
        z = torch.from_numpy(bits * 2.0 - 1.0).to(like)
        total += (z * product(z)).sum().item()
    return total / (probes * like.shape[1])


def arnoldi(
    product: Product, start: Float[torch.Tensor, " d"], steps: int, keep: int
) -> tuple[Float[torch.Tensor, " k"], Float[torch.Tensor, "k d"]]:
    """The `keep` leading Ritz values, largest first, and orthonormal Ritz vectors of H in a Krylov space of `steps` dimensions.

    Arnoldi's iteration (arXiv 2112.03052) orthogonalises each vector twice against all before it. Where the space is exhausted
    it goes on with the coordinate that is least in it, so that d steps find every eigenvalue, however often it occurs.
    """
    steps = min(steps, len(start))
    basis = torch.zeros((steps, len(start)), dtype=start.dtype, device=start.device)
    small = torch.zeros((steps, steps), dtype=start.dtype, device=start.device)
    basis[0] = start / start.norm()
    for k in progress(range(steps), "eigenvectors", "steps"):
        found = product(basis[k : k + 1])[0]
        small[k, k] = found @ basis[k]
        if k + 1 == steps:
            break
        rest = _orthogonal(found, basis[: k + 1])
        if rest.norm() > len(start) * torch.finfo(start.dtype).eps * small.abs().max():
            small[k + 1, k] = rest.norm()
        else:
            least = torch.zeros_like(start)
            least[basis.square().sum(0).argmin()] = 1.0
            rest = _orthogonal(least, basis[: k + 1])
        basis[k + 1] = rest / rest.norm()
    values, vectors = torch.linalg.eigh(small)  # which reads the lower triangle
    return values.flip(0)[:keep], vectors.T.flip(0)[:keep] @ basis


def _orthogonal(v: Float[torch.Tensor, " d"], basis: Float[torch.Tensor, "k d"]) -> Float[torch.Tensor, " d"]:
    """What of v is orthogonal to the basis; twice is enough (Giraud et al. 2005)."""
    for _ in range(2):
        v = v - (basis @ v) @ basis
    return v


def spanned_inverse(
    values: Float[torch.Tensor, " k"], vectors: Float[torch.Tensor, "k d"], b: Float[torch.Tensor, "t d"], damping: float
) -> Float[torch.Tensor, "t d"]:
    """`sum_k v_k (v_k . b) / (l_k + damping)`: the inverse within the span of the vectors, 0 outside it."""
    if not (values + damping > 0).all():
        raise LlmattrError("the curvature is not positive in every kept direction: give a larger damping, or keep fewer")
    return b @ vectors.T / (values + damping) @ vectors
