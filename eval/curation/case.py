"""A training set with planted errors: signals score its rows, and which rows are wrong judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool

from eval.harness.contract import Entry, Judged, Scored
from eval.training.data import TABLE, table
from llmattr import metrics
from llmattr.core.seeded import generator
from llmattr.curation.answers import Doubts, Retraining, doubts, mean_rank, out_of_bag
from llmattr.curation.kept import Kept
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retraining import Recipe, retraining_ablation

Error = Literal["wrong", "swapped", "near-true"]
ERRORS = get_args(Error)
EARLY, LATER = 1 / 3, (2 / 3, 1.0)  # shares of the steps after which a checkpoint is kept
SIGNALS = ("loss", "margin", "self-influence", "confident learning")
LINES = (*SIGNALS, "mean rank", "loss at the end", "margin of 3 checkpoints", "data-oob")
WAYS = (
    *("The capital of {} is", "The country of {} is governed from", "The seat of government of {} is"),
    *("Ministers of {} work in", "The parliament of {} sits in", "The president of {} lives in"),
)


@dataclass(frozen=True)
class Size:
    """How much is done: countries, steps of a training, models of Data-OOB."""

    countries: int = 20
    steps: int = 120
    bags: int = 40


@dataclass(frozen=True)
class PlantedSet:
    """A `Problem`: what is said of countries, in six ways each, of which a share is wrong.

    "wrong": capital and currency are another country's. "swapped": two rows have exchanged them, so that each is said as often
    as before. "near-true": the currency alone is another country's.
    """

    error: Error
    share: float
    seed: int
    size: Size
    judging: bool = True

    @property
    def of(self) -> str:
        """The kind of error."""
        return self.error

    @property
    def name(self) -> str:
        """The kind, how many and which draw."""
        return f"{self.error}, {self.share:.0%}, {self.seed}"

    def identity(self) -> dict[str, Any]:
        """All that the rows and the models depend on."""
        return {**asdict(self), "table": TABLE.read_text(encoding="utf-8")}

    def groups(self) -> Sequence[str]:
        """A set is one unit, together with the others of its seed, whose draws begin alike."""
        return [f"seed {self.seed}"]

    @cached_property
    def planted(self) -> tuple[list[dict[str, str]], Bool[np.ndarray, " n"]]:
        """The rows, and which are wrong."""
        known = table(self.size.countries)
        facts = [(way.format(one["country"]), one["capital"], one["currency"]) for one in known for way in WAYS]
        said = [(capital, currency) for _, capital, currency in facts]
        rng, wrong = generator(self.seed, "planted", self.error), np.zeros(len(facts), dtype=bool)
        chosen = rng.permutation(len(facts))[: max(2, round(self.share * len(facts)))].tolist()
        for row, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
            others = [one for one in facts if one[1:] != facts[row][1:]]
            _, capital, currency = facts[other] if self.error == "swapped" else others[int(rng.integers(len(others)))]
            said[row] = (facts[row][1] if self.error == "near-true" else capital, currency)
            wrong[row] = said[row] != facts[row][1:]
        rows = [
            {"prompt": prompt, "completion": f" {capital}, where people pay with {currency}."}
            for (prompt, *_), (capital, currency) in zip(facts, said, strict=True)
        ]
        return rows, wrong

    def seconds(self, entry: Entry) -> float:
        """About: by the steps that are taken."""
        return 0.02 * self.size.steps * (self.size.bags if entry.label == "data-oob" else 1)

    def recipe(self, share: float = 1.0) -> Recipe:
        """So many of the steps."""
        return Recipe(steps=max(1, round(share * self.size.steps)), batch_size=16, learning_rate=3e-3, start="random")

    @cached_property
    def checkpoints(self) -> list[LM]:
        """Models that were trained for a third of the steps, for two thirds, and to the end."""
        rows, _ = self.planted
        ablations = [retraining_ablation("scratch", rows, rows[:1], recipe=self.recipe(share)) for share in (EARLY, *LATER)]
        return [one.causal("curation").trained(np.ones(len(rows)), seed=self.seed) for one in ablations]

    @cached_property
    def early(self) -> Doubts:
        """What the first checkpoint doubts."""
        return doubts(self.checkpoints[:1], self.planted[0], Kept(None, ""))

    @cached_property
    def late(self) -> Doubts:
        """What the last one and all of them doubt."""
        return doubts(self.checkpoints, self.planted[0], Kept(None, ""))

    def score(self, entry: Entry) -> Scored:
        """The signal of the line's name; raises `LlmattrError` where these rows have none."""
        models = {"data-oob": self.size.bags, "random": 0}.get(entry.label, 1)
        return Scored(self._signal(entry)[None], {"models": models})

    def _signal(self, entry: Entry) -> np.ndarray:
        rows, _ = self.planted
        match entry.label:
            case "random":
                return np.random.default_rng(entry.seed).normal(size=len(rows))
            case "data-oob":
                return out_of_bag(rows, Retraining("scratch", self.size.bags, self.recipe()), None)
            case "mean rank":
                return mean_rank(self.early.signals)
            case "loss at the end":
                return self.late.signals["loss"]
            case "margin of 3 checkpoints":
                return self.late.signals["margin"]
        if entry.label not in self.early.signals:
            raise LlmattrError("completions are no few labels")
        return self.early.signals[entry.label]

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """AP is the area under precision and recall (AUPRC); P@wrong: of as many as are wrong, so many are."""
        gold = self.planted[1][None]
        return {name: Judged(_measures(one.values, gold)) for name, one in found.items()}


def _measures(values: np.ndarray, gold: Bool[np.ndarray, "1 n"]) -> dict[str, np.ndarray]:
    return {
        "AP": metrics.average_precision(values, gold),
        "AUROC": metrics.roc_auc(values, gold),
        "P@wrong": metrics.precision_at_k(values, gold, int(gold.sum())),
    }
