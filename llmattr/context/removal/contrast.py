"""This answer rather than that one: two responses to the same prompt, and what makes the difference."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.context.removal.ablation import ContextAblation, Store
from llmattr.context.removal.zoom import parts_of
from llmattr.core.sources import Part, Targets
from llmattr.errors import LlmattrError
from llmattr.model.contract import Weights
from llmattr.text.prompt import Rendered

ONE_ALONE = "looks at one answer alone: compare two with context-cite, shapley or leave-one-out"
INSIDE = f"a method that looks inside the model {ONE_ALONE}"


@dataclass(frozen=True, eq=False)
class ContrastAblation(ContextAblation):
    """`log p(answer) - log p(other answer)` under each mask, in nats: the log-odds of the one against the other."""

    other: ContextAblation | None = None

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The difference under each mask; one target."""
        assert self.other is not None
        difference = self.token_logprobs(masks).sum(axis=1) - self.other.token_logprobs(masks).sum(axis=1)
        return np.repeat(difference[:, None], len(self.targets), axis=1)

    def of(self, targets: Targets) -> "ContrastAblation":
        """Refused for a part of the answer: the other answer has none that goes with it."""
        if list(targets.texts) != list(self.targets.texts):
            raise LlmattrError("an answer is compared with another one as a whole: attribute its parts without rather_than")
        return self

    def of_parts(self, source: int, into: Part = "words") -> "ContrastAblation":
        """The words or sentences of one source in both prompts."""
        assert self.other is not None
        zoomed = dataclasses.replace(self, prompt=parts_of(self.prompt, source, into), store=Store())
        return dataclasses.replace(zoomed, other=self.other.of_parts(source, into))

    def with_all_targets(self) -> "ContrastAblation":
        """Itself: there is one target."""
        return self

    @property
    def weights(self) -> Weights:
        """Refused: what is inside the model has one answer before it."""
        raise LlmattrError(INSIDE)

    def located(self) -> Rendered:
        """Refused, likewise."""
        raise LlmattrError(INSIDE)

    @property
    def sides(self) -> tuple[ContextAblation, ContextAblation]:
        """The log-probability of each answer by itself."""
        assert self.other is not None
        one = ContextAblation(self.lm, self.prompt, dataclasses.replace(self.targets, measure="logprob"), self.store)
        whole = np.array([[0, len(self.other.prompt.response)]])
        return one, self.other.of(Targets([self.other.prompt.response], whole, "logprob"))

    def record(self) -> dict[str, Any]:
        """The first answer's record, with both answers' passes and the other answer."""
        assert self.other is not None
        passes = self.store.made + self.other.store.made
        return {**super().record(), "forward_passes": passes, "rather_than": self.other.prompt.response}


def contrast(ablation: ContextAblation, other: str) -> ContrastAblation:
    """The ablation of one answer against another; for methods that ask ablations only."""
    prompt = ablation.prompt
    rival = dataclasses.replace(ablation, prompt=prompt.with_response(other), store=Store())
    whole = np.array([[0, len(prompt.response)]])
    targets = Targets([f"{prompt.response} (rather than: {other})"], whole)
    return ContrastAblation(ablation.lm, prompt, targets, ablation.store, other=rival)
