"""A method's scores as the benchmarks judge them."""

import numpy as np

from llmattr.core.attribution import Attribution
from llmattr.metrics.shapes import Scores


def dense(attribution: Attribution) -> Scores:
    """The scores [t, n] of all n rows in the rows' order; an attribution that ranks rows must rank all of them."""
    ids = np.array([int(one) for one in attribution.sources.ids])
    ranked = np.arange(len(ids))[None] if attribution.index is None else attribution.index
    values = np.empty_like(attribution.values)
    np.put_along_axis(values, np.broadcast_to(ids[ranked], values.shape), attribution.values, axis=1)
    return values
