"""How much of what runs differ by is due to the seed, the data's order, the checkpoint: components of variance."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from llmattr.errors import LlmattrError

Factors = Mapping[str, Sequence[object] | Shaped[np.ndarray, " r"]]  # of each run what it was of each kind
REST = "rest"  # what no factor says: their interactions, and noise


class _Factor(NamedTuple):
    """A factor's groups of runs: `of` [r] is each run's; `within` the factor that it is nested in, "" where it is crossed."""

    of: Int[np.ndarray, " r"]
    within: str

    @property
    def groups(self) -> int:
        return int(self.of.max()) + 1


def variance_components(values: Float[np.ndarray, "r t n"], factors: Factors) -> dict[str, Float[np.ndarray, "t n"]]:
    """The variance of each score [t, n] that each factor makes, and the `rest`: analysis of variance with random effects.

    `factors`: of each run its seed, say, and its checkpoint. Every combination must be there as often as the others; a
    factor each of whose labels stands beside one label of another alone is nested in it (checkpoints of each seed's own).
    With `MS` the mean square of a factor of k runs a group, and `MS'` that of the factor nested in it, or of the rest:
    `variance = max((MS - MS') / k, 0)` (Searle, Casella and McCulloch 1992, chapter 4). Where nothing is left for the rest it
    is none, and the innermost factor has it.
    """
    design = _design(factors, len(values))
    left, degrees, squares = ((values - values.mean(axis=0)) ** 2).sum(axis=0), len(values) - 1, {}
    for name, (of, within) in design.items():
        above = _means(values, design[within].of) if within else values.mean(axis=0, keepdims=True)
        sum_of_squares = ((_means(values, of) - above) ** 2).sum(axis=0)
        own = design[name].groups - (design[within].groups if within else 1)
        squares[name] = sum_of_squares / own
        left, degrees = left - sum_of_squares, degrees - own
    rest = np.maximum(left, 0) / degrees if degrees else np.zeros_like(left)
    found = {}
    for name, factor in design.items():
        nested = next((squares[other] for other, of in design.items() if of.within == name), rest)
        found[name] = np.maximum(squares[name] - nested, 0) / (len(values) / factor.groups)
    return found | {REST: rest}


def _means(values: Float[np.ndarray, "r t n"], of: Int[np.ndarray, " r"]) -> Float[np.ndarray, "r t n"]:
    """For each run the mean over those of its group."""
    return np.stack([values[of == group].mean(axis=0) for group in range(of.max() + 1)])[of]


def _design(factors: Factors, runs: int) -> dict[str, _Factor]:
    """The factors that differ between runs, and which is nested in which; raises `LlmattrError` unless it is balanced."""
    for name, labels in factors.items():
        if len(labels) != runs:
            raise LlmattrError(f"there are {runs} runs and {len(labels)} labels of their {name}: give one for each")
    groups = {name: np.unique([str(one) for one in labels], return_inverse=True)[1] for name, labels in factors.items()}
    groups = {name: of for name, of in groups.items() if of.max()}
    if not groups:
        raise LlmattrError("the runs differ in nothing that is named: say which seed, data order or checkpoint each one is of")
    found = {name: _Factor(of, _parent(name, groups)) for name, of in groups.items()}
    cells = np.unique(np.stack([*groups.values()]), axis=1, return_counts=True)[1]
    wanted = np.prod([of.groups / (found[of.within].groups if of.within else 1) for of in found.values()])
    if len(cells) != wanted or any(np.ptp(counts) for counts in (cells, *map(np.bincount, groups.values()))):
        raise LlmattrError(f"the {' and '.join(found)} cannot be told apart: each must be there with each other, equally often")
    return found


def _parent(name: str, groups: Mapping[str, Int[np.ndarray, " r"]]) -> str:
    """The factor of fewer groups that this one's groups lie in, "" where there is none."""
    own = groups[name]
    return next((other for other, of in groups.items() if of.max() < own.max() and _lies_in(own, of)), "")


def _lies_in(own: Int[np.ndarray, " r"], of: Int[np.ndarray, " r"]) -> bool:
    """Whether each group stands beside one group of the other alone."""
    return np.unique(np.stack([own, of]), axis=1).shape[1] == int(own.max()) + 1
