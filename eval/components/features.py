"""Features compared: does a dictionary say more of what the model did than its neurons do? `python -m eval features`.

A sparse autoencoder is learnt from what one layer computes over WikiText-2. Its features, the numbers of the same hidden states
(neurons) and random directions, as many active at a token, are the sources on prompts of `components`, each with what it leaves
(the error term): do scores foretell what the model says without random ones (LDS), and what do the best do alone (CPR, CMD)?
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from eval import RESULTS
from eval.components.bench import fits, known_tasks
from eval.components.case import KEEP, Case, Size
from eval.components.dictionaries import FEATURES, KINDS, NEURONS, SET, dictionaries
from eval.components.tasks import TASKS, solved
from eval.context.case import Model
from eval.harness import choices
from eval.harness.command import plain_name
from eval.harness.contract import Entry, Judged, Scored
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr.components import METHODS
from llmattr.metrics import circuits

SHOWN = ("leave-one-out", "verified", "attribution-patching")  # by ablation, by both, by gradient
DRAWS = 2  # of random scores
NOTES = (
    "Removed sources give what they are on the counterfactual prompt; without all of them the model says what it says there, "
    f"whichever they are. LDS: rank correlation with held-out ablations, which keep a source with the chance {KEEP}. CPR and "
    "CMD: how much of what the model does .1 % to all of the sources do, the highest (higher is better) and the largest "
    "(distance, lower is better), as in MIB (arXiv 2504.13151), here of single prompts.",
    "Features alone: that share of all sources but the error term; error alone: of the error term. Sources: those that are "
    "active on a prompt or its counterfactual, and the error term. FVU: the share of the variance that is left to that term.",
    "Neurons: a number of the hidden states above its mean and below are two. Passes: a gradient counts as two.",
)


@dataclass(frozen=True, eq=False)
class Compared:
    """A `Problem`: a prompt, as a case for each kind of sources. Whose an entry is, its `how["sources"]` and its label say."""

    cases: Mapping[str, Case]
    judging: bool = True

    @property
    def of(self) -> str:
        """The task."""
        return self.cases[FEATURES].of

    @property
    def name(self) -> str:
        """The task and the prompt."""
        return self.cases[FEATURES].name

    def identity(self) -> Any:
        """Of every kind."""
        return {kind: case.identity() for kind, case in self.cases.items()}

    def groups(self) -> Sequence[str]:
        """One target a prompt."""
        return [self.name]

    def seconds(self, entry: Entry) -> float:
        """About: by the masks that a method asks for."""
        return self.cases[entry.how["sources"]].seconds(entry)

    def score(self, entry: Entry) -> Scored:
        """Of the entry's own sources."""
        return self.cases[entry.how["sources"]].score(entry)

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """Each by its own sources, and what these are."""
        return {name: self._judged(self.cases[name.partition(":")[0]], scored) for name, scored in found.items()}

    def _judged(self, case: Case, scored: Scored) -> Judged:
        measures = case.judge({"one": scored})["one"].measures
        sources = case.ablation.sources
        is_error = np.array([sources.metadata(i)["part"] == "error" for i in range(len(sources))])
        without, alone = circuits.faithfulness(np.stack([~is_error, is_error]), case.ablation)
        said = {"sources": len(sources), "FVU": case.ablation.record()["dictionary"]["fvu"]}
        of_all = {name: np.array([float(value)]) for name, value in said.items()}
        return Judged({**measures, "features alone": without, "error alone": alone, **of_all})


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """Prompts that the model solves, and methods on each kind of sources."""
    tiny, tasks = given["tiny"], known_tasks(given["tasks"])
    model = Model("tiny" if tiny else given["model"])
    each = given["examples"] or (1 if tiny else 10 if given["full"] else 3)
    found = dictionaries(model.lm, folder, given["layer"], given["tokens"], tiny)
    sizes = {kind: Size(8 if tiny else 64, "features", "resample", one) for kind, one in found.items()}
    seed = choices.seed("components")
    rows = [(task, row) for task in tasks for row in solved(task, each, seed, lambda row: fits(model, row, tiny))]
    methods = split(given["methods"]) or list(SHOWN)
    return Plan(
        about=f"{'tiny' if tiny else plain_name(given['model'])}: layer {found[FEATURES].hook.layer}.",
        problems=[Compared({kind: Case(task, row, True, model, size) for kind, size in sizes.items()}) for task, row in rows],
        entries=list(of_kinds(methods, budgets(given["budget"], (64,)))),
        measures=("LDS", "CPR", "CMD", "features alone", "error alone", "sources", "FVU"),
        base=f"{NEURONS}: leave-one-out",
        against=("LDS", "CPR", "CMD"),
        unit="prompts",
        notes=lambda measured: [f"{sum(case.of == task for case in measured)} prompts of {task}." for task in tasks] + [*NOTES],
    )


def of_kinds(methods: Sequence[str], budgets: Sequence[int]) -> Iterator[Entry]:
    """The methods on each kind of sources, and random scores."""
    settings = {"verified": {f"verified, {budget}": {"n_ablations": budget} for budget in budgets}}
    each = [*entries(METHODS, methods, budgets, settings), *(Entry("random", seed=seed) for seed in range(DRAWS))]
    for kind in KINDS:
        for one in each:
            yield replace(one, label=f"{kind}: {one.label}", how={"sources": kind})


OPTIONS = (
    click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, smollm2 or gemma3-270m."),
    click.option("--layer", type=click.IntRange(min=0), default=15, show_default=True, help="What is looked at, from 0."),
    click.option("--tokens", type=click.IntRange(min=100), default=20_000, show_default=True, help=f"Of {SET}, to learn from."),
    click.option("--tasks", default="", help=f"Some tasks, with commas between: {', '.join(TASKS)}."),
    click.option("--examples", type=click.IntRange(min=1), help="Prompts of each task (3)."),
)
command = benchmark("features", __doc__ or "", plan, RESULTS / "features.json", *OPTIONS)
