"""Hierarchical attribution: first blocks of sources, then the sources of the blocks that matter."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr import surrogate
from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.core.sources import Sources, Targets

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


@dataclass(frozen=True)
class Hierarchical:
    """Documents (or runs of sentences) first, then the sentences of those that matter: for hundreds of sources.

    Costs at most `2 * n_ablations` passes however many sources there are. Blocks are scored first; a second fit takes the
    sources of the best blocks one by one and every other block as one, around the first fit's scores. A source of a block
    that stayed closed gets an even part of its score, so that a document's score is the sum of its sources'.

    Cost: 128
    """

    name: ClassVar[str] = "hierarchical"
    family: ClassVar[str] = "datamodel"
    n_ablations: int = option(64, "random subsets to score at each of the two levels", least=4)
    block: int = option(8, "most sources in a block; a block never spans two documents", least=1)
    opened: int = option(3, "blocks that are opened for each sentence of the response, at most", least=1)
    bootstraps: int = option(100, "resamplings of the ablations for the standard errors; 0 for none, and nothing is cited")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        blocks = _blocks(ablation.sources, self.block)
        everything = ablation.with_all_targets()  # so that a later span opens the same blocks, and costs no pass
        first = self._scores(Grouped(everything, blocks), seed)
        finer = _opened(blocks, first.values, self.opened)
        level = self._scores(Grouped(ablation, blocks), seed)
        prior = _spread(level.values, blocks, finer)
        fine = self._scores(Grouped(ablation, finer), seed + 1, prior, self.bootstraps)
        run = {**fine.run, **ablation.record(), "seed": seed, "blocks": int(blocks.max()) + 1, "units": int(finer.max()) + 1}
        share = 1 / np.bincount(finer)[finer]
        stderr = None if fine.stderr is None else fine.stderr[:, finer] * share
        values = fine.values[:, finer] * share
        return dataclasses.replace(fine, values=values, stderr=stderr, sources=ablation.sources, run=run)

    def _scores(self, grouped: "Grouped", seed: int, prior: surrogate.Prior | None = None, bootstraps: int = 0) -> Attribution:
        return surrogate.blend(grouped, self.n_ablations, prior=prior, bootstraps=bootstraps, seed=seed)


@dataclass(frozen=True, eq=False)
class Grouped:
    """An `Ablation` in which sources of the same group are removed together."""

    exact: "ContextAblation"
    groups: Int[np.ndarray, " n"]

    @property
    def sources(self) -> Sources:
        """The groups, named by their numbers."""
        names = [str(g) for g in range(int(self.groups.max()) + 1)]
        return Sources("groups", names, names)

    @property
    def targets(self) -> Targets:
        """What the exact ablation measures."""
        return self.exact.targets

    def __call__(self, masks: Bool[np.ndarray, "m g"]) -> Float[np.ndarray, "m t"]:
        """The exact ablation's outputs for whole groups."""
        return self.exact(masks[:, self.groups])

    def record(self) -> dict[str, Any]:
        """What answered, as the exact ablation says it."""
        return self.exact.record()


def _blocks(sources: Sources, size: int) -> Int[np.ndarray, " n"]:
    """The block of each source: runs of at most `size` within a document, as even as can be."""
    groups = np.zeros(len(sources), dtype=int) if sources.groups is None else sources.groups
    blocks, count = np.zeros(len(sources), dtype=int), 0
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        pieces = np.array_split(inside, -(-len(inside) // size))
        for piece in pieces:
            blocks[piece], count = count, count + 1
    return blocks


def _opened(blocks: Int[np.ndarray, " n"], scores: Float[np.ndarray, "t b"], most: int) -> Int[np.ndarray, " n"]:
    """New groups: each source of a block that is among the `most` strongest of some target by itself, other blocks whole."""
    strongest = np.argsort(-np.abs(scores), axis=1, kind="stable")[:, :most]
    alone = np.isin(blocks, strongest)
    keys = np.where(alone, len(blocks) + np.arange(len(blocks)), blocks)
    return np.unique(keys, return_inverse=True)[1].reshape(-1)


def _spread(
    scores: Float[np.ndarray, "t b"], blocks: Int[np.ndarray, " n"], finer: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "t g"]:
    """The blocks' scores, shared evenly among the finer groups in each."""
    of_group = np.zeros(int(finer.max()) + 1, dtype=int)
    of_group[finer] = blocks
    return scores[:, of_group] / np.bincount(of_group)[of_group]
