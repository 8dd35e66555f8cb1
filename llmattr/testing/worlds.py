"""Where methods are tried: a transformer with random weights, and worlds in which sources only add up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.ablation import Ablation
from llmattr.context.removal.ablation import ContextAblation
from llmattr.core.plain_json import plain
from llmattr.core.sources import Sources, Targets
from llmattr.model.contract import Weights
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.build import from_function
from llmattr.retraining.recipe import Recipe
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.scratch import scratch_model
from llmattr.text.messages import PLAIN_TEMPLATE, conversation
from llmattr.text.prompt import Prompt, Rendered, cut

# A context.
SENTENCES = ["The canal is long.", "It has locks.", "It opened in 1914.", "Ships pay a toll.", "The lake is high."]
MARKS = [" long", " locks", " 1914", " toll", " high"]  # a word of each sentence that no other text has
QUESTION, ANSWER = "What is it?", "It was built by many. It is wide."

# Training rows, of which one is asked for again.
COLOURS = ["red", "blue and green", "a deep dark grey", "white"]
ROWS = [{"prompt": f"Ship {i} of the canal is", "completion": f" {COLOURS[i % 4]}."} for i in range(24)]
ASKED = [{"prompt": "Ship 5 of the canal is", "completion": " blue and green."}, ROWS[2]]

# Rows to train on, each fact in two of them.
PLACES = [("canal", "Panama", "wide"), ("king", "Spain", "old"), ("port", "Colon", "busy"), ("lock", "Gatun", "long")]
FACTS = [
    {"prompt": f"{word} {what} of {where} is", "completion": f" {said}", "place": where}
    for word in ("The", "That")
    for what, where, said in PLACES
]
QUERIES = [{"prompt": f"A {what} of {where} is", "completion": f" {said}"} for what, where, said in PLACES[1:3]]
SHORT = Recipe(steps=12, batch_size=4, learning_rate=5e-3)


def small_model(texts: Sequence[str]) -> tuple[Any, Any]:
    """A transformer with random weights over the words of the texts, always the same; its answers depend on its input."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model, tokenizer = scratch_model(texts, width=32)
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(10)  # as they are drawn, all answers are nearly alike
        model(torch.zeros((1, 1), dtype=torch.long), output_hidden_states=True)  # so that transformers' own hooks are there
    return model, tokenizer


def model_of_the_context() -> tuple[Any, Any]:
    """The small model that knows the context's words."""
    return small_model([*SENTENCES, QUESTION, ANSWER, PLAIN_TEMPLATE])


def model_of_rows(*rows: dict[str, str]) -> tuple[Any, Any]:
    """The small model that knows the rows' words."""
    return small_model([row["prompt"] + row["completion"] for row in rows])


@dataclass(frozen=True, eq=False)
class Sums:
    """An ablation whose outputs are sums over its sources, and what each source adds to each target."""

    ablation: Any
    effects: Float[np.ndarray, "t n"]


def given(ablation: Ablation) -> dict[str, Any]:
    """What a method is given to look at."""
    member = ablation.member if isinstance(ablation, RetrainingAblation) else None
    return plain({"sources": vars(ablation.sources), "targets": vars(ablation.targets), "member": member})


def context_of_sums(order: Sequence[int]) -> Sums:
    """The sentences in this order, each of which adds to the log-probabilities of the answer's tokens."""
    tokenizer = model_of_the_context()[1]
    chat = conversation(" ".join(SENTENCES[i] for i in order), QUESTION, template=PLAIN_TEMPLATE)
    prompt = Prompt(tokenizer, chat, cut(chat, "sentences")).with_response(ANSWER)
    more = 1 + np.arange(len(prompt.response_ids)) % 3
    steps = np.outer([0.3, -0.2, 0.0, 0.1, -0.05], more)  # [n, r]
    marks = tokenizer.convert_tokens_to_ids(MARKS)
    ablation = ContextOfSums(SummingScorer(tokenizer, dict(zip(marks, steps, strict=True))), prompt, prompt.targets("logprob"))
    effects = [steps[list(order), first:last].sum(axis=1) for first, last in ablation.target_tokens]
    return Sums(ablation, np.stack(effects))


def training_of_sums(order: Sequence[int]) -> Sums:
    """Sources in this order, each of which adds to the outputs of whatever is trained on it."""
    effects = np.array([[1.0, -0.5, 0.0, 2.0, 0.25], [0.0, 1.0, -2.0, 0.5, 0.75]])[:, list(order)]
    trained = from_function(lambda weights, seed: effects @ weights - 1, effects.shape[1], len(effects))
    return Sums(TrainingOfSums(**vars(trained)), effects)


def components_of_sums(order: Sequence[int]) -> Sums:
    """Components in this order, each of which adds to the targets as far as its gate is open."""
    effects = np.array([[1.0, -0.5, 0.0, 2.0, 0.25], [0.0, 1.0, -2.0, 0.5, 0.75]])[:, list(order)]
    names = [f"component {i}" for i in order]
    return Sums(GatedSums(Sources("components", names, names), Targets(["one", "other"], measure="logprob"), effects), effects)


@dataclass(frozen=True, eq=False)
class GatedSums:
    """What a `ComponentAblation` is to a method, where targets are sums."""

    sources: Sources
    targets: Targets
    effects: Float[np.ndarray, "t n"]
    way: str = "zero"

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The sums of what is kept."""
        return masks @ self.effects.T - 5

    def gradients(self, gate: float = 1.0, prompt: float = 1.0) -> Float[np.ndarray, "t n"]:
        """What each adds, wherever gates and prompt are."""
        return self.effects.copy()

    def dead(self) -> Bool[np.ndarray, " n"]:
        """What adds nothing to any target."""
        return (self.effects == 0).all(axis=0)

    def record(self) -> dict[str, str]:
        """Its name."""
        return {"model": "a sum"}


@dataclass(frozen=True, eq=False)
class SummingScorer:
    """A `Scorer` for which every source in the prompt, known by its mark, adds its effect [r] to the response's tokens."""

    tokenizer: Any
    effects: dict[int, Float[np.ndarray, " r"]]
    name: str = "a sum"
    window: int | None = None
    kind: str = "causal"

    def score(self, requests: Sequence[Rendered]) -> Iterator[tuple[int, Float[np.ndarray, " r"]]]:
        """Log-probabilities, all below 0."""
        for number, request in enumerate(requests):
            there = [effect for token, effect in self.effects.items() if token in request.ids]
            nothing = np.full(request.response.stop - request.response.start, -5.0)
            yield number, np.sum([nothing, *there], axis=0)

    def generate(self, ids: list[int], max_new_tokens: int = 256) -> list[int]:
        """Nothing."""
        return []

    def record(self) -> dict[str, str]:
        """Its name."""
        return {"model": self.name}

    def fingerprint(self) -> dict[str, str]:
        """Its name."""
        return {"model": self.name}

    def __getattr__(self, name: str) -> Any:
        """What only a model has."""
        raise LooksInsideError(name)


class LooksInsideError(AttributeError):
    """A method looked for the weights of a world that has none."""


class ContextOfSums(ContextAblation):
    """A prompt that a `SummingScorer` answers; what looks inside the model finds out by this error."""

    @property
    def weights(self) -> Weights:
        """None."""
        raise LooksInsideError


class TrainingOfSums(RetrainingAblation):
    """A training that is a sum; what looks at the model and its rows finds out by this error."""

    def causal(self, method: str) -> CausalTrainer:
        """None."""
        raise LooksInsideError
