"""What a single step on a row adds to an answer (TrackStar's tail-patch)."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.model.lm import LM
from llmattr.retraining.one_row import step_on
from llmattr.retraining.runs import CausalTrainer

if TYPE_CHECKING:
    from eval.training.world import World


@dataclass(frozen=True, eq=False)
class Patch:
    """Single steps from a checkpoint on a row, of a plain gradient times `STEP`.

    `after[row, query]`: what was measured, since methods choose many rows in common.
    """

    TOP: ClassVar[int] = 3  # rows of each query
    AT: ClassVar[float] = 0.3  # the checkpoint's share of the steps
    STEP: ClassVar[float] = 0.003  # of plain gradient descent

    trainer: CausalTrainer
    lm: LM
    after: dict[tuple[int, int], float] = field(default_factory=dict)

    @staticmethod
    def of(world: "World") -> "Patch":
        """Of the model that is trained on all rows, as it was at a share of its steps."""
        return Patch(world.ablation.causal("tail-patch"), LM.load(world.checkpoints(shares=[Patch.AT])[0]))

    def before(self, queries: Sequence[int]) -> Float[np.ndarray, " t"]:
        """The queries' log-probabilities under the checkpoint."""
        return self._said(self.lm, queries)

    def __call__(self, chosen: Int[np.ndarray, "t k"], queries: Sequence[int]) -> Float[np.ndarray, "t k"]:
        """Those of each query after one step on each of its rows alone."""
        pairs = [(int(row), query) for query, rows in zip(queries, chosen, strict=True) for row in rows]
        wanted: dict[int, list[int]] = {}
        for row, query in pairs:
            if (row, query) not in self.after:
                wanted.setdefault(row, []).append(query)
        for row, asked in wanted.items():
            said = self._said(self._stepped(row), asked)
            self.after.update({(row, query): float(one) for query, one in zip(asked, said, strict=True)})
        return np.array([self.after[pair] for pair in pairs]).reshape(chosen.shape)

    def _stepped(self, row: int) -> LM:
        model = copy.deepcopy(self.lm.model)
        step_on(model, self.trainer.rows, row, torch.optim.SGD(model.parameters(), lr=self.STEP))
        return LM(model, self.lm.tokenizer, self.lm.name)

    def _said(self, lm: LM, queries: Sequence[int]) -> Float[np.ndarray, " t"]:
        part = CausalTrainer(self.trainer.model, self.trainer.rows, self.trainer.queries.subset(queries), self.trainer.recipe)
        return part.measured(lm)
