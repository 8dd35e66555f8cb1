"""Scores that only compare texts: no ablation is asked for, no rule of citation applies."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from llmattr.method import describe
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


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
