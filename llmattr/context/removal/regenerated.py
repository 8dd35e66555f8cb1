"""What a chat server answers when only some of the sources are left, and how alike that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import check_masks
from llmattr.context.removal.ablation import ContextAblation, Other
from llmattr.core.processes import gathered, share
from llmattr.errors import LlmattrError
from llmattr.model.chat import ChatServer
from llmattr.retrieval.similarity import similarities
from llmattr.text.prompt import Prompt

MEASURE = "generated"  # of targets


@dataclass(frozen=True, eq=False)
class SimilarityAblation(ContextAblation):
    """An `Ablation` of a prompt by what is generated: how alike an answer is to each target, from 0 to 1.

    Under every mask the server answers anew, with at most `max_tokens` tokens; a target's value is the similarity `by` of that
    answer to it (`similarities`). Every mask is answered once. Answers that were drawn by chance make noise in it.
    """

    max_tokens: int = 256
    by: str = "words"

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The similarity under each mask."""
        return similarities(self.answers(masks), self.targets.texts, self.by)

    def answers(self, masks: Bool[np.ndarray, "m n"]) -> list[str]:
        """What the server answers under each mask; only masks not seen before are asked. Several processes ask a share each."""
        assert isinstance(self.lm, ChatServer)
        check_masks(masks, len(self.sources))
        kept = self.store.answers
        new = {mask.tobytes(): mask for mask in masks if mask.tobytes() not in kept}
        mine = share(list(new))
        try:
            for i, answer in self.lm.answers([self.prompt.render(new[key]) for key in mine], self.max_tokens):
                self.store.add_answer(mine[i], answer)
            for key, answer in gathered([(key, kept[key]) for key in mine]) if new else ():
                self.store.add_answer(key, answer)
        finally:
            self.store.save()  # also when it was stopped by Ctrl-C
        return [kept[mask.tobytes()] for mask in masks]

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """Refused: a chat server gives none."""
        raise self._without()

    def other_logprobs(self, others: Sequence[Prompt]) -> list[Other]:
        """Refused, likewise."""
        raise self._without()

    def _without(self) -> LlmattrError:
        return LlmattrError(
            f"{self.lm.name} gives no log-probabilities: use a method that asks for ablations (context-cite, leave-one-out), "
            "without --rather-than and --prune"
        )

    def record(self) -> dict[str, Any]:
        """The model, how many answers this run asked for so far, how many an earlier one had, and what compares them."""
        return {**self.lm.record(), **self.store.record("answers"), "similarity": self.by}
