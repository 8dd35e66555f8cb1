"""Scores that cost less than ablations, for a surrogate to start from."""

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jaxtyping import Float

from llmattr.errors import check_choice

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation

PriorKind = Literal["none", "gates", "hidden"]
LOOKS = 64  # masks of a first look with hidden sources, for each prior


def prior_values(kind: PriorKind, ablation: "ContextAblation", seed: int = 0) -> Float[np.ndarray, "t n"] | None:
    """The prior's scores [t, n] in nats: "gates" (`SourceGates`), "hidden" (ridge on `HiddenAblation`), None for "none"."""
    check_choice("prior", kind, get_args(PriorKind))
    if kind == "none":
        return None
    from llmattr.context.removal.contrast import ContrastAblation

    if isinstance(ablation, ContrastAblation):  # both are linear in what they look at
        one, other = (prior_values(kind, side, seed) for side in ablation.sides)
        return None if one is None or other is None else one - other
    if kind == "gates":
        from llmattr.context.methods.source_gates import SourceGates

        return SourceGates().attribute(ablation, seed).values
    from llmattr import surrogate
    from llmattr.context.removal.hidden import HiddenAblation

    masks = max(LOOKS, 2 * len(ablation.sources))
    # Other masks than the exact ones would be worth more, but the same seed keeps the run a function of one number.
    return surrogate.ridge(HiddenAblation(ablation), n_ablations=masks, bootstraps=0, seed=seed + 1).values
