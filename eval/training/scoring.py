"""How the scores of training methods come about, and what they cost."""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.harness.contract import Entry, Scored, replaced
from eval.harness.entries import BASELINES, at_budgets, named
from eval.training.peers import Peer
from llmattr import build_index
from llmattr.core.attribution import Attribution
from llmattr.metrics.shapes import Scores
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.retraining.store import Run
from llmattr.training import METHODS as TRAINING

if TYPE_CHECKING:
    from eval.training.world import World

OF_ROWS = ("data-oob", "lava", "stacked")  # what values rows, whatever is asked; and what needs others' scores
METHODS = {**TRAINING, **{name: method for name, method in RETRAINING.items() if name not in OF_ROWS}}
# What is asked at several checkpoints, and of several runs, too.
ENSEMBLED = ("tracin", "trak", "grad-dot", "grad-cos", "trackstar", "less", "ekfac")
UNROLLED = ("source",)  # what goes through the checkpoints of one run
CHECKPOINTS = (0.06, 0.15, 0.3, 0.6, 1.0)  # shares of the steps, for what looks at several checkpoints
LOOKS = 20  # steps between in-run-shapley's looks at the queries
IN_ONE_RUN = ("in-run-shapley", "magic", "ats", "g-shapley")  # what follows each run by itself
INTO_A_MODEL = ("knn-shapley", "linear-probe")  # what looks at the hidden states of the trained model


def lines(wanted: Sequence[str], budgets: Sequence[int], runs: int) -> list[Entry]:
    """The wanted methods, with those of several checkpoints and of several runs."""
    found: list[Entry] = []
    for name in named(METHODS, wanted):
        if name in RETRAINING:
            found += _of_training(name, budgets, runs)
        else:
            found += _of_index(name, runs)
    return found


def _of_index(name: str, runs: int) -> list[Entry]:
    if name in BASELINES:
        return [dataclasses.replace(one, how={"runs": 0}) for one in at_budgets(name, TRAINING[name], {}, ())]
    method, at = TRAINING[name](), f"{name}, {len(CHECKPOINTS)} checkpoints"
    if name in UNROLLED:
        return [Entry(at, method, how={"checkpoints": CHECKPOINTS, "runs": 1})]
    one = [] if name == "tracin" else [Entry(name, method, how={"checkpoints": CHECKPOINTS[-1:], "runs": 1})]  # it is grad-dot
    if name not in ENSEMBLED:
        return one
    several = {"checkpoints": CHECKPOINTS, "runs": 1}, {"checkpoints": CHECKPOINTS, "runs": runs}
    more = [Entry(f"{at} of {runs} runs", method, how=several[1])] if runs > 1 else []
    return [*one, Entry(at, method, how=several[0]), *more]


def _of_training(name: str, budgets: Sequence[int], runs: int) -> list[Entry]:
    usual = {"bootstraps": 0, "every": LOOKS}
    fields = {key: value for key, value in usual.items() if key in RETRAINING[name].__dataclass_fields__}
    found = at_budgets(name, RETRAINING[name], fields, budgets)
    found = [dataclasses.replace(one, how={"runs": 1}) for one in found]
    if name == "in-run-shapley":
        method = replaced(found[0].method, product="cosine")
        found += [
            Entry(f"{name}, cosine", method, how={"runs": 1}),
            Entry(f"{name}, cosine, {runs} runs", method, how={"runs": runs}),
        ]
    return found


def score(world: "World", entry: Entry) -> Scored:
    """The entry's scores of all the world's rows."""
    if isinstance(entry.method, Peer):
        return entry.method.score(world)
    by = (
        _trained if type(entry.method).__module__.startswith(RETRAINING["datamodel"].__module__.rpartition(".")[0]) else _traced
    )
    return by(world, entry)


def _traced(world: "World", entry: Entry) -> Scored:
    method, shares, runs = entry.method, entry.how.get("checkpoints", (1.0,)), entry.how["runs"]
    if "draw" in vars(method):
        method = replaced(method, draw=entry.seed)
    models = [one for run in range(max(runs, 1)) for one in world.checkpoints(run, shares)]
    rates = world.spans(shares) if method.name in UNROLLED else [1.0] * len(models)
    several: dict[str, Any] = {"checkpoints": models, "learning_rates": rates} if len(models) > 1 else {}
    place = world.folder / "index" / entry.name.replace(" ", "_")
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True, parents=True)
    started = time.process_time()
    result = build_index(None if several else models[-1], world.rows, place, method, **several).query(
        world.queries, top=None, foreign=0
    )
    seconds = time.process_time() - started
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    shutil.rmtree(place)
    needed = runs if method.family == "predictive" or method.name == "rep-sim" else 0
    training = needed * world.seconds_a_model if needed else 0.0  # which is measured by training
    return Scored(dense(result), {"CPU s": seconds + training, "models": needed, "bytes": size})


def dense(attribution: Attribution) -> Scores:
    """The scores [t, n] of all n rows in the rows' order; an attribution that ranks rows must rank all of them."""
    ids = np.array([int(one) for one in attribution.sources.ids])
    ranked = np.arange(len(ids))[None] if attribution.index is None else attribution.index
    values = np.empty_like(attribution.values)
    np.put_along_axis(values, np.broadcast_to(ids[ranked], values.shape), attribution.values, axis=1)
    return values


@dataclass(frozen=True, eq=False)
class Clocked(RetrainingAblation):
    """An ablation that keeps account of the CPU seconds of this process that went into training."""

    training: list[float] = field(default_factory=list)

    def train(self, runs: Sequence[Run]) -> None:
        """As the ablation does."""
        started = time.process_time()
        super().train(runs)
        self.training.append(time.process_time() - started)


def _trained(world: "World", entry: Entry) -> Scored:
    method, runs = entry.method, entry.how["runs"]
    base = world.ablation_of(world.checkpoints()[-1]) if method.name in INTO_A_MODEL else world.ablation
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    ablation = Clocked(**fields | {"memory": {}, "replicates": runs})
    started = time.process_time()
    result = method.attribute(ablation, ablation.seed)
    seconds = time.process_time() - started - sum(ablation.training)
    models = runs if method.name in (*INTO_A_MODEL, *IN_ONE_RUN) else len(ablation.memory)
    size = models * (len(world.rows) // 8 + 8 * len(world.queries))  # a run's mask and outputs
    cited = result.cited if result.can_cite and result.stderr is not None else None
    costs = {"CPU s": seconds + models * world.seconds_a_model, "models": models, "bytes": size}
    return Scored(result.values, costs, cited, result.baseline if result.can_cite else None)
