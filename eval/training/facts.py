"""Fact tracing: which training rows state what is asked, and which ones change the answer? `python -m eval facts`.

A small transformer learns real facts from random weights, each stated in three rows and asked in a fourth way, so that the rows
are the only place the answers can come from. Support: does a method find the rows that state the fact? Prediction: do its
scores foretell models that were trained on random halves of the rows (LDS)? What does a step on its best rows add to the answer
(tail-patch), and what is lost when the model is trained without them (QLD)? These are not the same.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval import RESULTS
from eval.harness.contract import Entry
from eval.harness.run import Plan, benchmark, budgets, split
from eval.training import scoring
from eval.training.tail_patch import Patch
from eval.training.world import AGAIN, CEILING, GOLD, RANKS, Size
from eval.training.worlds import MODELS, OPTIONS, TINY, learned, named, own, public, told, world
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining.scratch import NAME

SLOW = (
    "cg",
    "lissa",
    "astra",
    "arnoldi",
    "stream",
    "leave-one-out",
    "shapley",
    "beta-shapley",
    "ame",
    "magic",
)  # with hundreds of queries
USUAL = Size(patched=40)
MEASURES = (
    "MRR",
    "AP",
    *(f"R@{k}" for k in RANKS),
    "P@1",
    "cited f1",
    "LDS",
    "LDS, chosen on",
    "QLD",
    "forgotten",
    "tail-patch",
)


def plan(given: Mapping[str, Any], folder: Path, usual: Size = USUAL) -> Plan:
    """Facts of a public set or of one's own, all methods that are not too slow for them, and the gold rows."""
    full, tiny, notes = given["full"], given["tiny"], list[str]()
    given = {**given, "model": "smollm2" if full and given["model"] == NAME else given["model"]}
    size = TINY if tiny else dataclasses.replace(usual, held_out=0 if full else usual.held_out)
    usual_set = "countries" if tiny else "fewrel" if full else "pararel"
    name = given["name"] or usual_set
    facts = own(given, must_state=True) or public(name, 4 if tiny else given["count"])
    made = world(given, folder, facts, of=Path(given["train"]).stem if given["train"] else name, size=size)
    if full:
        made, note = learned(made)
        notes.append(note)
    judged = made.size.held_out > 0
    asked = budgets(given["budget"], (12,) if tiny else MODELS)
    usual = [method for method in scoring.METHODS if method not in SLOW and (judged or method not in RETRAINING)]
    lines = scoring.lines(split(given["methods"]) or usual, asked, size.runs)
    limits = [Entry(AGAIN), Entry(CEILING)] if judged else []
    patched = min(size.patched, len(made.queries))
    patch = (
        f"Tail-patch: percentage points that a step of {Patch.STEP} on one of the {Patch.TOP} highest rows adds to the "
        f"probability of one of {patched} queries, from the checkpoint at {Patch.AT:.0%} of the steps."
    )
    return Plan(
        about=" ".join((__doc__ or "").split()),
        problems=[made],
        entries=[*lines, Entry(GOLD), *limits],
        measures=MEASURES,
        base="bm25",
        against=("MRR", "LDS") if judged else ("MRR",),
        unit="facts",
        budgets=asked,
        called=named(given, usual_set, "smollm2" if full else NAME),
        notes=lambda worlds: [*notes, *told(worlds), patch],
    )


command = benchmark("facts", __doc__ or "", plan, RESULTS / "facts.json", *OPTIONS)
