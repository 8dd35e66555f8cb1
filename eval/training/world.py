"""A model trained on rows: every method scores the rows for queries; models trained on parts of the rows judge the scores."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.harness import choices
from eval.harness.contract import Entry, Judged, Scored
from eval.harness.steps import FirstSteps
from eval.training import scoring
from eval.training.data import Facts
from eval.training.tail_patch import Patch
from llmattr import __version__, metrics
from llmattr.ablation import random_masks
from llmattr.core.files import digest, write
from llmattr.core.plain_json import json_text
from llmattr.metrics.stats import foretold
from llmattr.retraining import Recipe, retraining_ablation
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.scratch import NAME, is_scratch, with_space
from llmattr.retraining.trainer import train

CHOSEN_ON = 1  # the seed of the masks that defaults were chosen on; methods draw theirs with seed 0
DRAWS = 200  # of the held-out models, for the intervals
GOLD, AGAIN, CEILING = "rows that state it", "the models again", "ceiling"  # lines for comparison
RANKS = (1, 3, 10, 50)
LEAST_REMOVED, SHARE_REMOVED = 3, 0.01  # rows of a query that go at once: 3, or 1 % of all if that is more
OF_QUERIES = ("queries_hash", "measure", "mean")  # what a trainer records and training does not depend on
KNOWN = float(np.log(0.5))  # a query is known when its completion is likelier than not


@dataclass(frozen=True)
class Size:
    """How much is done: models that judge, runs of an ensemble, queries whose best rows are removed or stepped on."""

    held_out: int = 50
    runs: int = 4
    removed: int = 16
    patched: int = 0


@dataclass(frozen=True, eq=False)
class World:
    """A `Problem`: rows, queries, how a model is trained on them, and a folder where all that was computed is kept.

    Whether a row states the fact that a query asks for is known where both have a `fact`. `rates`: the shares of the rows that
    models which judge keep.
    """

    of: str
    facts: Facts
    recipe: Recipe
    folder: Path
    size: Size = Size()
    model: str = NAME
    jobs: int | None = None
    rates: tuple[float, ...] = (0.5,)
    judging: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        """The set."""
        return self.of

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows, as the words of a model from scratch begin: else indexes would know none after a space."""
        return [with_space(row) for row in self.facts.rows] if is_scratch(self.model) else self.facts.rows

    @cached_property
    def queries(self) -> list[dict[str, Any]]:
        """The queries, likewise."""
        return [with_space(row) for row in self.facts.queries] if is_scratch(self.model) else self.facts.queries

    def identity(self) -> Any:
        """Model, data and recipe, as the trainer records them, and the facts."""
        return {**self.ablation.trainer.record(), "gold": [self.facts.stated, self.facts.asked]}

    def groups(self) -> Sequence[str]:
        """Queries of one fact are drawn together."""
        return [str(fact if fact is not None else number) for number, fact in enumerate(self.facts.asked)]

    @cached_property
    def ablation(self) -> RetrainingAblation:
        """The truth: the same model trained on some of the rows."""
        return self.ablation_of(self.model)

    def ablation_of(self, model: Any) -> RetrainingAblation:
        """The same of another model: one that is trained already, to be looked into."""
        options: dict[str, Any] = {"out": self.folder / "runs", "recipe": self.recipe, "jobs": self.jobs}
        return retraining_ablation(model, self.rows, self.queries, **options)

    @cached_property
    def trained(self) -> Path:
        """The folder of the models of all rows: of this model, these rows and this recipe alone."""
        told = {name: value for name, value in self.ablation.trainer.record().items() if name not in OF_QUERIES}
        return self.folder / "models" / digest([__version__, told])[:16]

    @cached_property
    def whole(self) -> Float[np.ndarray, " t"]:
        """The outputs of a model of all rows."""
        return self.ablation(np.ones((1, len(self.rows)), dtype=bool))[0]

    @cached_property
    def seconds_a_model(self) -> float:
        """CPU seconds of training once, when as many are trained together as pay; measured in this process, and kept."""
        place = self.trained / "seconds.json"
        if not place.exists():
            trainer = self.ablation.trainer
            started = time.process_time()
            trainer.outputs(np.ones((trainer.together, len(self.rows))), range(trainer.together))
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, json_text((time.process_time() - started) / trainer.together))
        return json.loads(place.read_text())

    def checkpoints(self, run: int = 0, shares: Sequence[float] = (1.0,)) -> list[str]:
        """The model of all rows as it was at shares of the steps of a run; in folders."""
        trainer = self.ablation.causal("checkpoints")
        lm, recipe, found = trainer.lm, trainer.recipe, []
        assert isinstance(recipe.steps, int)  # a trainer's recipe says how many
        for share in shares:
            place = self.trained / f"model-{run}-{share}"
            if not (place / "done").exists():
                part = FirstSteps(**asdict(recipe), only=round(share * recipe.steps))
                train(lm.model, trainer.rows, np.ones(len(self.rows)), run, part).save_pretrained(place)
                lm.tokenizer.save_pretrained(place)
                (place / "done").touch()
            found.append(str(place))
        return found

    def spans(self, shares: Sequence[float]) -> list[float]:
        """The learning rates of the steps from each of these checkpoints to the next, added up; the first from the start."""
        recipe = self.ablation.causal("spans").recipe
        assert isinstance(recipe.steps, int)
        ends = [0, *(round(share * recipe.steps) for share in shares)]
        return [sum(recipe.rate(step) for step in range(*part)) for part in pairwise(ends)]

    def seconds(self, entry: Entry) -> float:
        """By the models that it needs, and those of its removals."""
        models = entry.budget or int(entry.how.get("runs", 0))
        return (models + self.size.removed * (entry.method is not None)) * self.seconds_a_model

    def score(self, entry: Entry) -> Scored:
        """The method's scores of all rows; the gold rows as scores; nothing for what is no prediction by scores."""
        shape = (len(self.queries), len(self.rows))
        if entry.method is None:
            return Scored(self.facts.gold.astype(float) if entry.label == GOLD else np.zeros(shape))
        return scoring.score(self, entry)

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """Support by the facts; prediction by held-out models, removals and single steps."""
        names = [name for name in found if name not in (AGAIN, CEILING)]
        judged = {name: Judged(self.support(found[name])) for name in names}
        if self.size.held_out:
            removed = self.removals({name: found[name] for name in names})
            for name in names:
                foretold = self.prediction(found[name])
                measures = {**judged[name].measures, **foretold.measures, **removed[name]}
                judged[name] = Judged(measures, foretold.judges, foretold.scatter)
            judged |= {name: self._limit(name) for name in found if name in (AGAIN, CEILING)}
        if self.size.patched:
            for name, patched in self.patches({name: found[name] for name in names}).items():
                judged[name] = Judged({**judged[name].measures, **patched}, judged[name].judges, judged[name].scatter)
        return judged

    def support(self, scored: Scored) -> dict[str, Float[np.ndarray, " t"]]:
        """Where the rows that state the fact stand in the order of the scores."""
        values, gold = scored.values, self.facts.gold
        if not gold.any():
            return {}
        ranks = [k for k in RANKS if k <= len(self.rows)]
        found = {"MRR": metrics.reciprocal_rank(values, gold), "AP": metrics.average_precision(values, gold)}
        found |= {f"R@{k}": metrics.recall_at_k(values, gold, k) for k in ranks}
        found["P@1"] = metrics.precision_at_k(values, gold, 1)
        return found if scored.cited is None else found | {"cited f1": metrics.citation(scored.cited, gold).f1}

    def held_out(self, rate: float, seed: int) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, "m t"]]:
        """Masks that keep rows with this probability, by a seed of their own, and the outputs of models trained on them."""
        masks = random_masks(self.size.held_out, len(self.rows), rate, seed=seed)
        return masks, self.ablation(masks)

    def prediction(self, scored: Scored) -> Judged:
        """LDS against models of masks that were drawn after every choice, and against those that choices were made on."""
        measures, judges = {}, {}
        rows = np.random.default_rng(0).integers(self.size.held_out, size=(DRAWS, self.size.held_out))
        for rate in self.rates:
            masks, outputs = self.held_out(rate, choices.seed("training"))
            measures[column(rate)] = metrics.lds(scored.values, masks, outputs)
            judges[column(rate)] = np.stack([metrics.lds(scored.values, masks[some], outputs[some]) for some in rows])
        measures["LDS, chosen on"] = metrics.lds(scored.values, *self.held_out(0.5, CHOSEN_ON))
        masks, outputs = self.held_out(0.5, choices.seed("training"))
        predicted = scored.predicted(masks)
        if predicted is not None:
            measures["counterfactual error"] = metrics.counterfactual_error(predicted, outputs)
        scatter = np.stack([(scored.values @ masks.T.astype(float))[0], outputs[:, 0]], axis=1)
        return Judged(measures, judges, scatter)

    def removals(self, found: Mapping[str, Scored]) -> dict[str, dict[str, Float[np.ndarray, " t"]]]:
        """QLD: nats that a query loses when the model is trained without its best rows; and whether it is then forgotten."""
        queries = np.flatnonzero(self.whole >= KNOWN)[: self.size.removed]
        k = max(LEAST_REMOVED, round(SHARE_REMOVED * len(self.rows)))
        masks = [metrics.top_k_masks(one.values[queries], k) for one in found.values()]
        seen = self.ablation(np.concatenate(masks)).reshape(len(found), len(queries), -1) if len(queries) and found else []
        removed = {}
        for name, after in zip(found, seen, strict=True) if len(seen) else ():
            said, each = np.full(len(self.queries), np.nan), np.full(len(self.queries), np.nan)
            said[queries] = after[np.arange(len(queries)), queries]
            each[queries] = metrics.brittleness_hits(self.whole[queries], said[queries], KNOWN)
            removed[name] = {"QLD": self.whole - said, "forgotten": each}
        return {name: removed.get(name, {}) for name in found}

    def patches(self, found: Mapping[str, Scored]) -> dict[str, dict[str, Float[np.ndarray, " t"]]]:
        """The percentage points that a step on one of the highest rows adds to a query's probability, the mean over rows."""
        queries = list(range(min(self.size.patched, len(self.queries))))
        patch = Patch.of(self)
        before = patch.before(queries)
        patched = {}
        for name, one in found.items():
            gained = np.full(len(self.queries), np.nan)
            gained[queries] = 100 * metrics.tail_patch(before, patch(metrics.top_k(one.values[queries], patch.TOP), queries))
            patched[name] = {"tail-patch": gained}
        return patched

    def _limit(self, name: str) -> Judged:
        """How well a run with another seed foretells one, and the LDS that the noise between seeds leaves to any prediction."""
        measures = {}
        for rate in self.rates:
            masks, _ = self.held_out(rate, choices.seed("training"))
            runs = self.ablation.replicated(masks[: max(4, len(masks) // 4)], 2)
            same = foretold(runs[:, 0].T, runs[:, 1].T) if name == AGAIN else metrics.lds_ceiling(runs)
            measures[column(rate)] = same
        return Judged(measures)


def column(rate: float) -> str:
    """The name of the LDS of models that keep this share of the rows."""
    return "LDS" if rate == 0.5 else f"LDS, {rate:g} kept"
