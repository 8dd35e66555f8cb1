"""Training a model of a shape as usual, alone and several together: the ways that `bench_retrain` compares."""

import copy
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from eval.harness.parts import quiet_thread
from eval.harness.steps import FirstSteps
from eval.training.data import Facts
from llmattr import LM
from llmattr.ablation import random_masks
from llmattr.retraining import Recipe, scratch_model
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.together import measure_together, train_together
from llmattr.retraining.trainer import train
from llmattr.text.rows import Examples, row_text, tokenize

STEPS = 940
REFERENCE = Recipe(steps=STEPS, batch_size=32, learning_rate=3e-3, start="random")


@dataclass(frozen=True)
class Work:
    """Training one shape of model on facts for a few steps, and measuring the queries."""

    facts: Facts
    layers: int
    width: int
    steps: int

    @cached_property
    def trainer(self) -> CausalTrainer:
        """Model, rows, queries and recipe; the weights are drawn anew."""
        torch.manual_seed(0)
        texts = map(row_text, [*self.facts.rows, *self.facts.queries])
        model, tokenizer = scratch_model(texts, self.layers, self.width)
        rows, queries = (tokenize(part, tokenizer) for part in (self.facts.rows, self.facts.queries))
        return CausalTrainer((model, tokenizer), rows, queries, REFERENCE)

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(p.numel() for p in self.trainer.lm.model.parameters())

    def seconds(self, way: str, k: int, clock: Callable[[], float] = time.process_time) -> float:
        """Seconds of one of k models: the start and one step, all other steps, from a few, and the queries."""
        one, _ = self._seconds(way, k, 1, clock)
        some, measuring = self._seconds(way, k, 1 + self.steps, clock)
        return (one + (some - one) / self.steps * (STEPS - 1) + measuring) / max(k, 1)

    def _seconds(self, way: str, k: int, steps: int, clock: Callable[[], float]) -> tuple[float, float]:
        lm, rows, part = self.trainer.lm, self.trainer.rows, FirstSteps(**dataclasses.asdict(REFERENCE), only=steps)
        kept = random_masks(max(k, 1), len(rows)).astype(float)
        started = clock()
        if way == "usual loop":
            model = usual_loop(lm.model, rows, kept[0] > 0, 0, part)
            trained = clock()
            usual_measure(model, self.trainer.queries)
        elif way == "alone":
            model = train(lm.model, rows, kept[0], 0, part)
            trained = clock()
            self.trainer.measured(LM(model, lm.tokenizer))
        else:
            stack = train_together(lm.model, rows, kept, range(k), part)
            trained = clock()
            measure_together(stack, lm, self.trainer.requests)
        return trained - started, clock() - trained

    def two_processes(self, way: str, k: int) -> float:
        """Models a minute when two processes do the same at the same time."""
        from joblib import Parallel, delayed

        both: Any = Parallel(n_jobs=2)(delayed(_in_process)(self, way, k) for _ in range(2))
        return sum(60 / seconds for seconds in both)


def _in_process(work: Work, way: str, k: int) -> float:
    with quiet_thread():
        return [work.seconds(way, k, time.perf_counter) for _ in range(2)][1]


def usual_loop(model: Any, examples: Examples, kept: np.ndarray, seed: int, recipe: Recipe) -> Any:
    """A model trained as one does it with transformers: padded batches, its own loss, AdamW, clipping, a schedule."""
    model = copy.deepcopy(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate(0), weight_decay=recipe.weight_decay)
    for step, rows in enumerate(recipe.batches(kept, seed)):
        ids, seen, labels = _collated(examples, rows)
        model(input_ids=ids, attention_mask=seen, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@torch.no_grad()
def usual_measure(model: Any, queries: Examples, batch: int = 32) -> np.ndarray:
    """Log-probabilities of the queries' completions from padded batches."""
    found = []
    for first in range(0, len(queries), batch):
        ids, seen, labels = _collated(queries, range(first, min(first + batch, len(queries))))
        said = model(input_ids=ids, attention_mask=seen).logits[:, :-1].log_softmax(-1)
        each = said.gather(2, ids[:, 1:, None])[..., 0]
        found.append((each * (labels[:, 1:] >= 0)).sum(1))
    return torch.cat(found).numpy()


def _collated(examples: Examples, rows: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(len(examples.ids[i]) for i in rows)
    ids, seen, labels = (torch.full((len(rows), longest), fill) for fill in (0, 0, -100))
    for place, i in enumerate(rows):
        own = torch.tensor(examples.ids[i])
        ids[place, : len(own)], seen[place, : len(own)] = own, 1
        labels[place, : len(own)] = torch.where(torch.from_numpy(examples.counted[i]), own, -100)
    return ids, seen, labels
