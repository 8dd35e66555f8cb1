"""The same small model trained again and again: with other initial weights, another order of the rows, for fewer steps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from eval.harness.contract import Entry, Judged, Scored, replaced
from eval.harness.steps import FirstSteps
from eval.stability.agreement import agreement
from eval.training.data import TABLE, Facts, countries
from eval.training.scoring import dense
from llmattr import trace
from llmattr.core.files import digest
from llmattr.core.method import describe
from llmattr.metrics.shapes import Scores
from llmattr.model.lm import LM
from llmattr.retraining import Recipe, scratch_model
from llmattr.retraining.scratch import with_space
from llmattr.retraining.trainer import train
from llmattr.text.rows import tokenize

Variation = Literal["seeds", "orders", "checkpoints"]
VARIATIONS = get_args(Variation)
CHECKPOINTS = (0.6, 0.7, 0.8, 0.9, 1.0)  # shares of the steps: the last ones of a training
ORDERS = 5  # of the rows, with the same initial weights


@dataclass(frozen=True)
class Size:
    """How much is done: countries whose capital is stated in three ways and asked in a fourth, steps, seeds."""

    countries: int = 20
    steps: int = 150
    seeds: int = 20


class Made(NamedTuple):
    """What a training differs by."""

    seed: int = 0
    order: int = 0
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Learner:
    """Trainings on the same rows, and what methods say of each; every model and every trace is made once."""

    size: Size
    models: dict[Made, LM] = field(default_factory=dict)
    traces: dict[str, Scores] = field(default_factory=dict)

    @cached_property
    def facts(self) -> Facts:
        """Rows and queries, as the words of a model from scratch begin."""
        facts = countries(self.size.countries, ("capital",))
        return Facts(*([with_space(row) for row in rows] for rows in (facts.rows, facts.queries)))

    def model(self, made: Made) -> LM:
        """The model of this training."""
        if made not in self.models:
            texts = [row["prompt"] + row["completion"] for row in [*self.facts.rows, *self.facts.queries]]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(made.seed)
                start, tokenizer = scratch_model(texts)
            whole = Recipe(steps=self.size.steps, batch_size=16, learning_rate=3e-3)
            recipe = FirstSteps(**asdict(whole), only=max(1, round(made.share * self.size.steps)))
            rows = tokenize(self.facts.rows, tokenizer)
            self.models[made] = LM(train(start, rows, np.ones(len(rows)), made.order, recipe), tokenizer, "small")
        return self.models[made]

    def scores(self, method: Any, made: Made) -> Scores:
        """What the method says of all rows for all queries."""
        name = digest([describe(method), made])
        if name not in self.traces:
            found = trace(self.model(made), self.facts.rows, self.facts.queries, method, top=None)
            self.traces[name] = dense(found)
        return self.traces[name]


@cache
def learner(size: Size) -> Learner:
    """The one of this size: what asks for the same trainings shares them."""
    return Learner(size)


@dataclass(frozen=True, eq=False)
class Trained:
    """A `Problem`: trainings that differ by one thing."""

    learner: Learner
    variation: Variation
    judging: bool = True
    of: str = "countries"

    @property
    def name(self) -> str:
        """What they differ by."""
        return self.variation

    def identity(self) -> dict[str, Any]:
        """All that the rows and the models depend on."""
        return {"size": asdict(self.learner.size), "by": self.made, "table": TABLE.read_text(encoding="utf-8")}

    def groups(self) -> Sequence[str]:
        """A query is of one fact."""
        return [str(fact) for fact in self.learner.facts.asked]

    def seconds(self, entry: Entry) -> float:
        """About: a second for each trace."""
        return float(len(self.made))

    @property
    def made(self) -> list[Made]:
        """The trainings."""
        match self.variation:
            case "seeds":
                return [Made(seed=seed) for seed in range(self.learner.size.seeds)]
            case "orders":
                return [Made(order=order) for order in range(ORDERS)]
            case "checkpoints":
                return [Made(share=share) for share in CHECKPOINTS]

    def score(self, entry: Entry) -> Scored:
        """The scores by every training, one below the other; random ones are drawn anew for each."""
        methods = [replaced(entry.method, draw=1000 * entry.seed + run) for run in range(len(self.made))]
        pairs = zip(methods, self.made, strict=True)
        return Scored(np.concatenate([self.learner.scores(method, made) for method, made in pairs]))

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """How far each entry's trainings agree."""
        shape = len(self.made), len(self.learner.facts.queries), len(self.learner.facts.rows)
        return {name: Judged(agreement(one.values.reshape(shape), self.variation)) for name, one in found.items()}
