"""Steps on one row: what it adds to a trained model (ATS), and what each adds in a single pass over all (G-Shapley)."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedModel

from llmattr.core.progress import progress
from llmattr.core.seeded import generator
from llmattr.model.lm import LM
from llmattr.retraining.replicated import OneRun
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.trainer import batch_loss, padded, started
from llmattr.text.rows import Examples

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
RATES = tuple(10 ** (-k / 2) for k in range(2, 10))  # 0.1 to 0.00003: those that the authors of G-Shapley choose from


def step_on(model: PreTrainedModel, examples: Examples, row: int, optimizer: torch.optim.Optimizer) -> None:
    """Take a step on the mean loss of a row's counted tokens."""
    ids, counted = padded([examples.ids[row]], [examples.counted[row]], model.device)
    batch_loss(model(input_ids=ids, use_cache=False).logits, ids, counted, torch.ones(1)).backward()
    optimizer.step()
    optimizer.zero_grad()


def added(trainer: CausalTrainer, weights: Float[np.ndarray, " rows"], seed: int, *, optimizer: str, rate: float) -> OneRun:
    """What one step on each row, from where the run with these weights ends, adds to the outputs [t, rows]."""
    lm = trainer.trained(weights, seed)
    after, found = trainer.measured(lm), []
    place = [p.detach().clone() for p in lm.model.parameters()]
    for row in progress(range(len(weights)), "adding rows", "rows"):
        step_on(lm.model, trainer.rows, row, OPTIMIZERS[optimizer](lm.model.parameters(), lr=rate))
        found.append(trainer.measured(lm) - after)
        with torch.no_grad():
            for p, kept in zip(lm.model.parameters(), place, strict=True):
                p.copy_(kept)
    values = np.stack(found, axis=1)
    return OneRun(values, after - values.sum(axis=1), after)


def one_pass(trainer: CausalTrainer, weights: Float[np.ndarray, " rows"], seed: int, *, rate: float | None = None) -> OneRun:
    """What each row's step adds to the outputs [t, rows] in one pass of gradient descent over the rows of a weight above 0.

    The seed draws their order. `rate` None: that of `RATES` with which such a pass brings the mean of the outputs highest.
    """
    order = generator(seed, "order").permutation(np.flatnonzero(weights > 0))
    if rate is None:
        reached = [_reached(trainer, order, seed, one) for one in progress(RATES, "learning rates", "passes")]
        rate = RATES[int(np.argmax(reached))]
    models = _models(trainer, order, seed, rate)
    outputs = np.stack([trainer.measured(next(models)) for _ in progress(range(len(order) + 1), "a pass", "rows")], axis=1)
    values = np.zeros((len(outputs), len(weights)))
    values[:, order] = np.diff(outputs, axis=1)
    return OneRun(values, outputs[:, 0], outputs[:, -1])


def _models(trainer: CausalTrainer, order: Int[np.ndarray, " n"], seed: int, rate: float) -> Iterator[LM]:
    """The model before a pass over these rows and after each of them, one object."""
    lm = dataclasses.replace(trainer.lm, model=started(trainer.lm.model, seed, trainer.recipe))
    optimizer = torch.optim.SGD(lm.model.parameters(), lr=rate)
    yield lm
    for row in order.tolist():
        step_on(lm.model, trainer.rows, row, optimizer)
        yield lm


def _reached(trainer: CausalTrainer, order: Int[np.ndarray, " n"], seed: int, rate: float) -> float:
    """The mean of the outputs after a pass; of one that leads to no numbers minus infinity."""
    *_, lm = _models(trainer, order, seed, rate)
    finite = all(torch.isfinite(p).all() for p in lm.model.parameters())
    return float(trainer.measured(lm).mean()) if finite else -np.inf
