"""Components compared: which heads (MLPs, neurons) made the model say this? `python -m eval components`.

Every method of `llmattr.components.METHODS` on prompts that the model solves, of four tasks: do its scores foretell what the
model says without random parts (LDS), and what do circuits of the components with the highest scores do alone (CPR, CMD)?
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np

from eval import RESULTS
from eval.components.case import KEEP, Case, Size
from eval.components.tasks import TASKS, Row, solved
from eval.context.case import Model
from eval.harness import choices
from eval.harness.command import called, plain_name
from eval.harness.contract import Entry
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr.components import METHODS
from llmattr.components.build import component_ablation
from llmattr.components.features.folders import load_dictionary
from llmattr.components.fills import Way
from llmattr.errors import LlmattrError

FIT = 1024  # ablations of the linear fit that is there for comparison
CHOSEN_ON = 1  # prompts of each task that defaults were looked at with
OF_FEW = ("shapley", "banzhaf")  # for layers, not for hundreds of heads
SETTINGS = {"coar": {"coar": {}, "coar, no prior": {"prior": "none"}}}
FROM_OTHER = {"integrated-gradients": {"integrated-gradients": {}, "EAP-IG": {"path": "prompt"}}}
NOTES = (
    "LDS: rank correlation with held-out ablations, which keep a component with the chance "
    f"{KEEP}. CPR and CMD: how much of what the model does circuits of .1 % to all of its components do, those of the highest "
    "scores (higher is better) and those of the largest (distance, lower is better), as in MIB (arXiv 2504.13151), here of "
    "single prompts. What is measured is by how many nats the right word is likelier than the wrong one.",
    "Passes: a gradient counts as two. CPU s: as if the method ran alone on a prompt. Linear fit: a ridge regression of so "
    "many ablations without a prior, for what more of them bring; it is no bound.",
)


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """Prompts that the model solves, and every method at its budgets."""
    tiny, full, tasks = given["tiny"], given["full"], known_tasks(given["tasks"])
    model = Model("tiny" if tiny else given["model"])
    dictionary = load_dictionary(given["dictionary"], model.lm.device) if given["dictionary"] else None
    size = Size(8 if tiny else 128, given["parts"], given["way"], dictionary)
    each = given["examples"] or (1 if tiny else 10 if full else 4)

    def cases(seed: int, count: int, judging: bool) -> list[Case]:
        rows = [(task, row) for task in tasks for row in solved(task, count, seed, lambda row: fits(model, row, tiny))]
        return [Case(task, row, judging, model, size) for task, row in rows]

    asked = budgets(given["budget"], (16, 8) if tiny else (64, 16, 256))
    row = next(TASKS["years"](np.random.default_rng(0)))
    few = component_ablation(model.lm, row, parts=size.parts, dictionary=size.dictionary)
    methods = {name: method for name, method in METHODS.items() if name not in OF_FEW or len(few.sources) <= min(asked)}
    settings = {**SETTINGS, **(FROM_OTHER if size.way == "resample" else {})}
    fit = 32 if tiny else FIT
    linear = METHODS["coar"](n_ablations=fit, prior="none", bootstraps=0)
    lines = entries(methods, split(given["methods"]), asked, settings)
    randoms = [Entry("random", seed=seed) for seed in range(8)]
    judged = cases(choices.seed("components"), each, judging=True)
    return Plan(
        about=f"{'tiny' if tiny else plain_name(given['model'])}: its {size.parts}, removed by {size.way}.",
        problems=[*judged, *cases(0, CHOSEN_ON, judging=False)],
        entries=[*lines, *randoms, Entry(f"linear fit of {fit}", linear, is_reference=True)],
        measures=("LDS", "CPR", "CMD", "counterfactual error"),
        base="leave-one-out",
        against=("LDS", "CPR", "CMD"),
        unit="prompts",
        budgets=asked,
        called=called(given["parts"], given["model"], ("heads", "smollm2")),
        notes=lambda measured: [f"{sum(case.of == task for case in measured)} prompts of {task}." for task in tasks] + [*NOTES],
    )


def known_tasks(given: str) -> list[str]:
    """The tasks of this name, all without any; raises `LlmattrError` for one that is not known."""
    tasks = split(given) or list(TASKS)
    if unknown := [task for task in tasks if task not in TASKS]:
        raise LlmattrError(f"there is no task {unknown[0]!r}; there are {', '.join(TASKS)}")
    return tasks


def fits(model: Model, row: Row, tiny: bool) -> bool:
    """The model finds the right word likelier, by more than a nat, and the other prompt has as many tokens."""
    try:
        ablation = component_ablation(model.lm, row, way="resample")
    except LlmattrError:
        return False
    if tiny:
        return True
    (difference,) = ablation(np.ones((1, len(ablation.sources)), dtype=bool))[0]
    return bool(difference > 1)


OPTIONS = (
    click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, smollm2 or gemma3-270m."),
    click.option("--parts", default="heads", show_default=True, help="heads, mlps, attentions, layers, neurons; + between."),
    click.option("--dictionary", help="The folder of a dictionary, for --parts features."),
    click.option(
        "--way", type=click.Choice(get_args(Way)), default="resample", show_default=True, help="What removed parts give."
    ),
    click.option("--tasks", default="", help=f"Some tasks, with commas between: {', '.join(TASKS)}."),
    click.option("--examples", type=click.IntRange(min=1), help="Prompts of each task that judge (4)."),
)
command = benchmark("components", __doc__ or "", plan, RESULTS / "components.json", *OPTIONS)
