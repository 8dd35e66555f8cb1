"""What a retraining is: weights of the rows and a seed -> a trained model -> the outputs of the targets."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from llmattr.ablation import name_of
from llmattr.core.sources import Measure
from llmattr.errors import LlmattrError, check_choice
from llmattr.model.lm import LM
from llmattr.model.odds import log_odds_of_logprobs
from llmattr.retraining.recipe import Recipe, named_run
from llmattr.retraining.together import can_stack, measure_together, most_together, train_together
from llmattr.retraining.trainer import train
from llmattr.text.prompt import Rendered
from llmattr.text.rows import Examples, prompt_and_completion

VERSION = 2  # of the built-in training: runs of another one give other numbers and are kept apart


@runtime_checkable
class Trainer(Protocol):
    """Trains on weighted rows and says what the targets are then. `together`: so many runs are best asked for at once."""

    @property
    def together(self) -> int:
        """How many runs are trained as one program."""
        ...

    @property
    def asked(self) -> list[dict[str, str]]:
        """Each target's prompt and completion, where targets have these."""
        ...

    def outputs(self, weights: Float[np.ndarray, "k n"], seeds: Sequence[int]) -> Float[np.ndarray, "k t"]:
        """The targets' values after each of k runs."""
        ...

    def record(self) -> dict[str, Any]:
        """What the outputs depend on besides weights and seed: model, data, recipe, targets."""
        ...


@dataclass(frozen=True, eq=False)
class FunctionTrainer:
    """A function of the user's own, (weights Float[n], seed) -> outputs [t], in place of the built-in training.

    `name` tells its runs from those of other functions on disk: change it when the function changes.
    """

    function: Callable[[Float[np.ndarray, " n"], int], Any]
    n_targets: int
    name: str = ""
    together: int = 1

    @property
    def asked(self) -> list[dict[str, str]]:
        """None: a function's outputs have no text."""
        return []

    def outputs(self, weights: Float[np.ndarray, "k n"], seeds: Sequence[int]) -> Float[np.ndarray, "k t"]:
        """The function's outputs; raises `LlmattrError` where they are not t numbers."""
        rows = [np.asarray(self.function(row, seed), dtype=float) for row, seed in zip(weights, seeds, strict=True)]
        for row in rows:
            if row.shape != (self.n_targets,):
                raise LlmattrError(f"the training function gave outputs {row.shape}: expected ({self.n_targets},)")
        return _checked(np.stack(rows), weights, seeds)

    def record(self) -> dict[str, Any]:
        """The function's name, which tells its runs from those of another."""
        return {"function": self.name or name_of(self.function)}


@dataclass(frozen=True, eq=False)
class CausalTrainer:
    """Trains a causal language model on rows of tokens; the outputs are the log-probabilities of the queries' counted tokens.

    `model`: a name or folder, which every worker loads for itself, or a (model, tokenizer) pair. `measure`: "logprob" = their
    sum in nats, "logit" = the log-odds of them all. `mean`: one output, the mean over the queries (minus the validation loss).
    """

    model: str | LM | tuple[torch.nn.Module, Any]
    rows: Examples
    queries: Examples
    recipe: Recipe = Recipe()
    measure: Measure = "logprob"
    mean: bool = False

    @property
    def lm(self) -> LM:
        """The model that runs start from."""
        return _loaded(self.model) if isinstance(self.model, str) else LM.load(self.model)

    @property
    def together(self) -> int:
        """How many runs are trained as one program: as many as pay, and 1 for a model that cannot be stacked."""
        model = self.lm.model
        k = most_together(model, self.rows, self.recipe.batch_size)
        return k if k > 1 and can_stack(model, self.longest) else 1

    @property
    def longest(self) -> int:
        """The length of the longest row or query in tokens."""
        return max(len(ids) for part in (self.rows, self.queries) for ids in part.ids)

    def outputs(self, weights: Float[np.ndarray, "k n"], seeds: Sequence[int]) -> Float[np.ndarray, "k t"]:
        """The queries' values after each run; several runs are trained as one program."""
        lm = self.lm
        if len(weights) > 1 and can_stack(lm.model, self.longest):
            stack = train_together(lm.model, self.rows, weights, seeds, self.recipe)
            found = [self.values(one) for one in measure_together(stack, lm, self.requests)]
        else:
            found = [self.measured(self.trained(row, seed)) for row, seed in zip(weights, seeds, strict=True)]
        return _checked(np.stack(found), weights, seeds)

    def trained(self, weights: Float[np.ndarray, " n"], seed: int) -> LM:
        """The model after one run with these weights of the rows and this seed."""
        lm = self.lm
        return dataclasses.replace(lm, model=train(lm.model, self.rows, weights, seed, self.recipe))

    def measured(self, lm: LM) -> Float[np.ndarray, " t"]:
        """The queries' values under this model."""
        return self.values(lm.logprobs(self.requests))

    @property
    def requests(self) -> list[Rendered]:
        """What a model is asked: each query from its first counted token to its last."""
        spans = [(int(np.argmax(counted)), len(counted) - int(np.argmax(counted[::-1]))) for counted in self.queries.counted]
        nowhere = np.zeros((0, 2), dtype=int)
        return [Rendered(ids, slice(*span), nowhere) for ids, span in zip(self.queries.ids, spans, strict=True)]

    @property
    def asked(self) -> list[dict[str, str]]:
        """Each target's prompt and completion; none for the mean over all."""
        return [] if self.mean else [prompt_and_completion(row) for row in self.queries.rows]

    def values(self, logprobs: Sequence[np.ndarray]) -> Float[np.ndarray, " t"]:
        """The outputs from the log-probabilities [r] of each request."""
        check_choice("measure", self.measure, get_args(Measure))
        asked = zip(logprobs, self.requests, self.queries.counted, strict=True)
        sums = np.array([one[counted[request.response]].sum() for one, request, counted in asked])
        if self.measure == "logit":
            sums = log_odds_of_logprobs(sums)
        return sums.mean(keepdims=True) if self.mean else sums

    def record(self) -> dict[str, Any]:
        """Model, data, recipe and targets, and how this version trains."""
        lm = self.lm
        return {
            "trainer": VERSION,
            "trained_in": str(torch.promote_types(lm.dtype, torch.float32)).removeprefix("torch."),
            "model": lm.name,
            "dtype": lm.record()["dtype"],
            **lm.fingerprint(weights=self.recipe.start == "given"),
            "data_hash": self.rows.fingerprint(),
            "queries_hash": self.queries.fingerprint(),
            "loss": self.rows.loss,
            "measure": self.measure,
            "mean": self.mean,
            "recipe": dataclasses.asdict(self.recipe),
        }


def _checked(
    outputs: Float[np.ndarray, "k t"], weights: Float[np.ndarray, "k n"], seeds: Sequence[int]
) -> Float[np.ndarray, "k t"]:
    """The outputs; raises `LlmattrError` where one is not finite: it must neither be kept nor be fitted."""
    if not np.isfinite(outputs).all():
        k, t = np.argwhere(~np.isfinite(outputs))[0].tolist()
        raise LlmattrError(f"output {t} of a trained model is {outputs[k, t]}: {named_run(weights[k], seeds[k])}")
    return outputs


@lru_cache(maxsize=1)
def _loaded(name: str) -> LM:
    return LM.load(name)
