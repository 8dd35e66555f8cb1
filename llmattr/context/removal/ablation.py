"""The context's ablation: the log-odds of a response when only some of the sources are left in the prompt."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.context.removal.store import Store
from llmattr.context.removal.zoom import words_of
from llmattr.core.processes import gathered, share
from llmattr.core.sources import Measure, Sources, Targets
from llmattr.errors import LlmattrError, check_choice
from llmattr.model.contract import Scorer, Weights
from llmattr.model.odds import log_odds_of_logprobs
from llmattr.text.prompt import Prompt, Rendered


@dataclass(frozen=True, eq=False)
class ContextAblation:
    """An `Ablation` of a prompt. Every mask is scored once; its token log-probabilities serve any target afterwards."""

    lm: Scorer
    prompt: Prompt
    targets: Targets
    store: Store = field(default_factory=Store, repr=False)

    @property
    def sources(self) -> Sources:
        """The sources of the prompt."""
        return self.prompt.sources

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The value of each target under each mask, in nats."""
        return values(self.token_logprobs(masks), self.target_tokens, self.targets.measure)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """Log-probabilities of the response's r tokens under each mask; only masks not seen before are run.

        Several processes run a share each.
        """
        new = {mask.tobytes(): mask for mask in masks if mask not in self.store}
        mine = share(list(new))
        try:
            for i, logprobs in self.lm.score([self.prompt.render(new[key]) for key in mine]):
                self._refuse_no_numbers(new[mine[i]], logprobs)
                self.store.add(mine[i], logprobs)
            for key, logprobs in gathered([(key, self.store.rows[key]) for key in mine]) if new else ():
                self.store.add(key, logprobs)
        finally:
            self.store.save()  # also when it was stopped by Ctrl-C
        return np.stack([self.store[mask] for mask in masks])

    def _refuse_no_numbers(self, mask: Bool[np.ndarray, " n"], logprobs: Float[np.ndarray, " r"]) -> None:
        bad = np.flatnonzero(~np.isfinite(logprobs))
        if len(bad):
            without = [repr(self.sources.ids[i]) for i in np.flatnonzero(~mask).tolist()]
            named = ", ".join([*without[:3], *(["..."] if len(without) > 3 else [])]) or "none"
            raise LlmattrError(
                f"the model gives {logprobs[bad[0]]} as log-probability of token {bad[0] + 1} of the response where "
                f"{len(without)} of {len(mask)} sources are left out ({named}): try float32"
            )

    @property
    def weights(self) -> Weights:
        """The model itself, for methods that look inside; raises `LlmattrError` where a server keeps it."""
        if isinstance(self.lm, Weights):
            return self.lm
        raise LlmattrError(
            "the model is behind a server, which shows nothing of its inside: use context-cite or another method that asks for "
            "ablations"
        )

    def located(self) -> Rendered:
        """The whole prompt with the sources' tokens; raises `LlmattrError` where they are not to be found.

        A source that shares its only token with the one before has none of its own.
        """
        full, lost = self.prompt.full(), self.prompt.lost()
        if lost:
            raise LlmattrError(
                f"the chat template rewrites its messages, so {len(lost)} sources are not found among the tokens, the first is "
                f"{self.sources.texts[lost[0]]!r:.60}: use context-cite or another method that asks for ablations"
            )
        if not full.sources.any():
            raise LlmattrError(
                "the tokenizer does not say which characters its tokens have, so no source can be found among them: use a fast "
                "tokenizer, or context-cite or another method that asks for ablations"
            )
        return full

    def of(self, targets: Targets) -> "ContextAblation":
        """The same ablation for other targets; what was scored is shared."""
        return dataclasses.replace(self, targets=targets)

    def of_words(self, source: int) -> "ContextAblation":
        """The ablation of the words of one source, with all others kept."""
        return dataclasses.replace(self, prompt=words_of(self.prompt, source), store=Store())

    def with_all_targets(self) -> "ContextAblation":
        """The same ablation for the whole response and each of its sentences."""
        return self.of(self.prompt.targets(self.targets.measure))

    @property
    def token_counts(self) -> Float[np.ndarray, " t"]:
        """The number of tokens of each target."""
        first, last = self.target_tokens.T
        return (last - first).astype(float)

    @property
    def target_tokens(self) -> Int[np.ndarray, "t 2"]:
        """The response tokens of each target."""
        assert self.targets.spans is not None  # targets of a response always have them
        return self.prompt.response_tokens(self.targets.spans)

    def record(self) -> dict[str, Any]:
        """The model, how many forward passes there were so far, and how many of them an earlier run made."""
        resumed = {"resumed": self.store.resumed} if self.store.resumed else {}
        return {
            **self.lm.record(),
            "forward_passes": len(self.store),
            **resumed,
            "response_tokens": len(self.prompt.response_ids),
        }


def values(logprobs: Float[np.ndarray, "m r"], tokens: Int[np.ndarray, "t 2"], measure: str) -> Float[np.ndarray, "m t"]:
    """What a measure says of each token span: "logit" is `span_logits`, "logprob" the sum of its log-probabilities."""
    check_choice("measure", measure, get_args(Measure))
    if measure == "logit":
        return span_logits(logprobs, tokens)
    return np.stack([logprobs[:, first:last].sum(axis=1) for first, last in tokens], axis=1)


def span_logits(logprobs: Float[np.ndarray, "m r"], tokens: Int[np.ndarray, "t 2"]) -> Float[np.ndarray, "m t"]:
    """Log-odds `lp - log(1 - exp(lp))` of the probability of each token span, `lp` = the sum of its log-probabilities.

    In nats; finite for any span (the reference's `log1p(-exp(lp))` is infinite where exp(lp) rounds to 1).
    ContextCite, arXiv 2409.00729, equation 2.
    """
    sums = np.stack([logprobs[:, first:last].sum(axis=1) for first, last in tokens], axis=1)
    return log_odds_of_logprobs(sums)
