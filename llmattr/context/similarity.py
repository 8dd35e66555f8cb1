"""Scores that only compare texts: no ablation is asked for, no rule of citation applies."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


def similarities(method: Any, ablation: "ContextAblation", values: Float[np.ndarray, "t n"], unit: str) -> Attribution:
    """The attribution that these similarities of the ablation's targets and sources make."""
    return Attribution(
        values=values,
        sources=ablation.sources,
        targets=dataclasses.replace(ablation.targets, measure="similarity"),
        unit=unit,
        method=describe(method),
        run=ablation.record(),
    )
