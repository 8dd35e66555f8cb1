"""What gradients foretell of ablations, alone and with the strongest of them verified."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int

from llmattr.ablation import ask
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.surrogate.sampling import attribution, rank_correlation

if TYPE_CHECKING:
    from llmattr.components.ablation import ComponentAblation

DRAWN = 4  # every so many-th verified component is drawn from those that are not the strongest
FEWEST = 4  # of these: fewer say nothing of how far they are off


@dataclass(frozen=True)
class AttributionPatching:
    """The derivative by a gate on each component, which foretells its removal: one backward pass, good for ranking.

    `values = sum over tokens of (x - fill) . df/dx` (Nanda 2023; Syed, Rager and Conmy 2023, arXiv 2310.10348), x what the
    component computes and fill what it gives when it is removed: exact where f is linear in x.

    Cost: 2
    """

    name: ClassVar[str] = "attribution-patching"
    family: ClassVar[str] = "predictive"

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; `baseline` = f(all) - sum of values."""
        values = ablation.gradients()
        (full,) = ask(ablation, np.ones((1, len(ablation.sources)), dtype=bool))
        return attribution(ablation, describe(self), {"seed": seed}, values=values, baseline=full - values.sum(axis=1))


@dataclass(frozen=True)
class Verified:
    """Gradients rank the components, the strongest are truly removed, and the others' scores are scaled to agree with that.

    A verified score is what leave-one-out gives, with an error of 0. A quarter of them is drawn from the components that are
    not the strongest, and says what a gradient is worth there: the others' scores are theirs times the factor that fits these
    best. Their error is what that leaves of the drawn ones, and the share by which verified scores are off, of each score:
    `e_i^2 = e^2 + (share s_i)^2`; nan where fewer than 4 are drawn. `details`: `agreement`, the rank correlation of gradients
    and true removals of all verified components, that `factor`, and their ids (`verified`).

    Cost: 2 + 64
    """

    name: ClassVar[str] = "verified"
    family: ClassVar[str] = "predictive"
    n_ablations: int = option(64, "components to remove one by one; the others' effects are foretold", least=8)

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; `baseline` = f(all) - sum of values."""
        foretold, n = ablation.gradients(), len(ablation.sources)
        strongest, drawn = chosen(foretold, self.n_ablations, seed)
        tried = np.concatenate([strongest, drawn])
        masks = np.ones((len(tried) + 1, n), dtype=bool)
        masks[np.arange(1, len(masks)), tried] = False
        full, *without = ask(ablation, masks)
        true = (full - np.array(without)).T
        factor, error = scaled(foretold[:, drawn], true[:, len(strongest) :])
        values = factor * foretold
        stderr = np.hypot(error, share_off(values[:, tried], true) * values)
        stderr *= 1.0 if len(drawn) >= FEWEST else np.nan
        values[:, tried], stderr[:, tried] = true, 0.0
        details = {
            "agreement": [rank_correlation(*pair) for pair in zip(foretold[:, tried], true, strict=True)],
            "factor": factor[:, 0].tolist(),
            "verified": [[ablation.sources.ids[i] for i in tried]] * len(values),
        }
        baseline = full - values.sum(axis=1)
        record = {"seed": seed}
        return attribution(ablation, describe(self), record, values=values, baseline=baseline, stderr=stderr, details=details)


def chosen(foretold: Float[np.ndarray, "t n"], many: int, seed: int) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " d"]]:
    """The strongest components of any target (each by its share of the target's strongest), and some drawn from the others."""
    size = np.abs(foretold)
    strength = (size / np.maximum(size.max(axis=1, keepdims=True), np.finfo(float).tiny)).max(axis=0)
    order = np.argsort(-strength, kind="stable")
    if many >= len(order):
        return order, order[:0]
    first = many - many // DRAWN
    return order[:first], np.random.default_rng(seed).choice(order[first:], many // DRAWN, replace=False)


def share_off(foretold: Float[np.ndarray, "t k"], true: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "t 1"]:
    """By which share of what is foretold it is off: `|true - foretold| / |foretold|`, root mean squares; 0 of nothing."""
    size = np.linalg.norm(foretold, axis=1, keepdims=True)
    off = np.linalg.norm(true - foretold, axis=1, keepdims=True)
    return np.where(size > 0, off / np.where(size > 0, size, 1.0), 0.0)


def scaled(
    foretold: Float[np.ndarray, "t d"], true: Float[np.ndarray, "t d"]
) -> tuple[Float[np.ndarray, "t 1"], Float[np.ndarray, "t 1"]]:
    """The factor of each target by which `factor * foretold` is nearest to what is true, and the error that is left.

    `factor = foretold . true / |foretold|^2`, `error^2 = |true - factor foretold|^2 / (d - 1)`; 1 where there is nothing to
    scale by.
    """
    square = (foretold**2).sum(axis=1, keepdims=True)
    factor = np.where(square > 0, (foretold * true).sum(axis=1, keepdims=True) / np.where(square > 0, square, 1.0), 1.0)
    rest = ((true - factor * foretold) ** 2).sum(axis=1, keepdims=True)
    return factor, np.sqrt(rest / max(foretold.shape[1] - 1, 1))
