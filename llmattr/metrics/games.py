"""Do scores keep the axioms of a fair share? Gaps of games, each a number per target, 0 where the axiom holds.

Of a game that is known on every mask: `outputs` [2^n, t] in the order of `llmattr.ablation.every_mask`. Gaps are shares of
`range_t`, the range of the target's outputs over all masks, so that they are comparable between games. LOWER is better. nan
where the outputs never change. Shapley 1953; Weber 1988 for values without efficiency, as Banzhaf's.
"""

import numpy as np
from jaxtyping import Float

from llmattr.metrics.shapes import PerTarget, Scores

Outputs = Float[np.ndarray, "m t"]


def efficiency_gap(values: Scores, outputs: Outputs) -> PerTarget:
    """`|sum_i v_i - (f(all) - f(none))| / range`: whether the scores share out what all sources do together.

    >>> sums = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> efficiency_gap(np.array([[1.0, 2.0]]), sums).tolist(), efficiency_gap(np.array([[1.0, 0.5]]), sums).tolist()
    ([0.0], [0.5])
    """
    return _share(values.sum(axis=1) - (outputs[-1] - outputs[0]), outputs)


def null_player_gap(values: Scores, outputs: Outputs) -> PerTarget:
    """`|v_last| / range` in a game whose last player never changes anything (`with_null_player`)."""
    return _share(values[:, -1], outputs)


def symmetry_gap(values: Scores, outputs: Outputs) -> PerTarget:
    """`|v_first - v_last| / range` in a game whose first and last players are alike (`with_twin`)."""
    return _share(values[:, 0] - values[:, -1], outputs)


def linearity_gap(values: Scores, one: Scores, other: Scores, outputs: Outputs) -> PerTarget:
    """`max_i |v_i - (one_i + other_i)| / range`, `values` those of the sum of the two games, `outputs` the sum's."""
    return _share(np.abs(values - (one + other)).max(axis=1), outputs)


def enumeration_error(values: Scores, exact: Scores, outputs: Outputs) -> PerTarget:
    """`max_i |v_i - exact_i| / range`, `exact` those of all masks."""
    return _share(np.abs(values - exact).max(axis=1), outputs)


def with_null_player(outputs: Outputs) -> Float[np.ndarray, "2*m t"]:
    """The same game with one more player, who changes nothing.

    >>> with_null_player(np.array([[0.0], [1.0]])).ravel().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    return np.concatenate([outputs, outputs])


def with_twin(outputs: Outputs) -> Float[np.ndarray, "2*m t"]:
    """The same game with one more player, like the first: one of the two does what the first did, both do no more.

    >>> with_twin(np.array([[0.0], [1.0]])).ravel().tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    return np.concatenate([outputs, outputs[np.arange(len(outputs)) | 1]])


def _share(gap: PerTarget, outputs: Outputs) -> PerTarget:
    spread = np.ptp(outputs, axis=0)
    return np.abs(gap) / np.where(spread > 0, spread, np.nan)
