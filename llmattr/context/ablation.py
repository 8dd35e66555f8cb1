"""The context's ablation: the log-odds of a response when only some of the sources are left in the prompt."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.lm import LM
from llmattr.prompt import Prompt
from llmattr.types import Sources, Targets


@dataclass(frozen=True, eq=False)
class ContextAblation:
    """An `Ablation` of a prompt. Every mask is scored once; its token log-probabilities serve any target afterwards."""

    lm: LM
    prompt: Prompt
    targets: Targets
    scored: dict[bytes, Float[np.ndarray, " r"]] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> Sources:
        """The sources of the prompt."""
        return self.prompt.sources

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """Log-odds of each target under each mask, in nats."""
        return span_logits(self.token_logprobs(masks), self.prompt.response_tokens(self._spans))

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """Log-probabilities of the response's r tokens under each mask; only masks not seen before are run."""
        new = {mask.tobytes(): mask for mask in masks if mask.tobytes() not in self.scored}
        self.scored.update(zip(new, self.lm.logprobs([self.prompt.render(mask) for mask in new.values()]), strict=True))
        return np.stack([self.scored[mask.tobytes()] for mask in masks])

    def of(self, targets: Targets) -> "ContextAblation":
        """The same ablation for other targets; what was scored is shared."""
        return dataclasses.replace(self, targets=targets)

    @property
    def token_counts(self) -> Float[np.ndarray, " t"]:
        """The number of tokens of each target."""
        first, last = self.prompt.response_tokens(self._spans).T
        return (last - first).astype(float)

    def record(self) -> dict[str, Any]:
        """The model, and how many forward passes and tokens there were so far."""
        return {
            "model": self.lm.name,
            "dtype": str(self.lm.dtype).removeprefix("torch."),
            "device": str(self.lm.device),
            "forward_passes": len(self.scored),
            "response_tokens": len(self.prompt.response_ids),
        }

    @property
    def _spans(self) -> Int[np.ndarray, "t 2"]:
        assert self.targets.spans is not None  # targets of a response always have them
        return self.targets.spans


def span_logits(logprobs: Float[np.ndarray, "m r"], tokens: Int[np.ndarray, "t 2"]) -> Float[np.ndarray, "m t"]:
    """Log-odds `lp - log(1 - exp(lp))` of the probability of each token span, `lp` = the sum of its log-probabilities.

    In nats; finite for any span (the reference's `log1p(-exp(lp))` is infinite where exp(lp) rounds to 1).
    ContextCite, arXiv 2409.00729, equation 2.
    """
    sums = np.stack([logprobs[:, first:last].sum(axis=1) for first, last in tokens], axis=1)
    return sums - np.log(-np.expm1(np.minimum(sums, -1e-300)))
