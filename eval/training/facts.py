"""Fact tracing: which training rows state what is asked, and which ones change the answer? `python -m eval facts`.

A small transformer learns real facts from random weights, each stated in three rows and asked in a fourth way, so that the rows
are the only place the answers can come from. Support: does a method find the rows that state the fact? Prediction: do its
scores foretell models that were trained on random halves of the rows (LDS)? What does a step on its best rows add to the answer
(tail-patch), and what is lost when the model is trained without them? These are not the same.
"""

import dataclasses
from pathlib import Path
from typing import Any

import click
import numpy as np

from eval import RESULTS
from eval.harness.command import SHARED, Section, check, publish, refusing, said, with_options
from eval.harness.parts import quiet_thread
from eval.harness.record import Figure, circumstances
from eval.training import data as facts_data
from eval.training.checks import PATCH_AT, PATCH_STEP, PATCHED, REMOVED, TOP, removals, tail_patches
from eval.training.data import Facts
from eval.training.measure import OPTIONS, Bench, Found, Size, agreement, as_words, ends, figures, prediction
from eval.training.methods import named, scored
from llmattr import metrics
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retraining import METHODS as RETRAINING
from llmattr.retraining import Recipe
from llmattr.training import METHODS as TRAINING

OUT = RESULTS / "facts.json"
RANKS = (1, 2, 3, 5, 10, 20, 50, 100)
SLOW = ("cg", "lissa", "arnoldi", "stream", "leave-one-out", "shapley", "beta-shapley", "ame")  # with hundreds of queries
TINY = Size(models=12, held_out=6, runs=2)
LEARNED = 3.0  # nats by which a query of FewRel must have become likelier to count as learned


def support(facts: Facts, found: Found) -> Figure:
    """Where the rows that state the fact stand in the order of the scores, the mean over queries."""
    recall = [[k, float(np.nanmean(metrics.recall_at_k(found.values, facts.gold, k)))] for k in RANKS if k <= len(facts.rows)]
    line = {
        "MRR": float(np.nanmean(metrics.reciprocal_rank(found.values, facts.gold))),
        "recall@3": float(np.nanmean(metrics.recall_at_k(found.values, facts.gold, 3))),
        "recall@10": float(np.nanmean(metrics.recall_at_k(found.values, facts.gold, min(10, len(facts.rows))))),
        "P@1": float(np.nanmean(metrics.precision_at_k(found.values, facts.gold, 1))),
        "recall": recall,
    }
    return line | ({} if found.cited is None else {"F1": float(np.nanmean(metrics.citation(found.cited, facts.gold).f1))})


def compared(bench: Bench, facts: Facts, wanted: list[str]) -> tuple[list[Figure], list[Figure], list[str]]:
    """The table, the methods' agreement, and notes."""
    judged = bench.size.held_out > 0
    notes = [f"{len(facts.rows)} rows, {len(facts.queries)} queries."]
    if without := int((~facts.gold.any(axis=1)).sum()):
        notes.append(f"{without} queries ask what no row states: they do not count for MRR, recall, P@1.")
    if judged:
        known = f"{np.exp(np.median(bench.whole)):.2f} in the median"
        notes += [
            f"Trained on all rows, a query's completion has the probability {known}.",
            f"{bench.size.held_out} held-out models; the noise between seeds allows an LDS of {bench.ceiling():.2f}.",
            f"Removal: the {TOP} highest rows of the known queries, {REMOVED} at most, go at once: nats that these lose, and "
            "the share of them that are then no longer likelier than not.",
        ]
    lines = scored(bench, wanted)
    patches = tail_patches(bench, lines)
    removed = removals(bench, lines) if judged else {}
    notes.append(
        f"Tail-patch: percentage points that a step of {PATCH_STEP} on one of the {TOP} highest rows adds to the probability "
        f"of one of {min(PATCHED, len(facts.queries))} queries, from the checkpoint at {PATCH_AT:.0%} of the steps."
    )

    def judge(name: str, found: Found) -> Figure:
        foretold = prediction(bench, found) if judged else {}
        return {**support(facts, found), **foretold, **patches.get(name, {}), **removed.get(name, {})}

    table = figures(lines, judge)
    return [*table, *(ends(bench) if judged else [])], agreement(lines), notes


def usual(judged: bool) -> list[str]:
    """The methods that are run unless others are named: those that hundreds of queries can be put to."""
    return [name for name in (*TRAINING, *(RETRAINING if judged else ())) if name not in SLOW]


def learned(bench: Bench, facts: Facts) -> tuple[Bench, Facts, list[str]]:
    """Only the queries whose answers the model learned in this training."""
    trainer = bench.ablation.trainer
    before, after = (trainer.measured(lm) for lm in (trainer.lm, LM.load(bench.checkpoints()[-1])))
    kept = np.flatnonzero(after - before >= LEARNED)
    note = (
        f"{len(kept)} of {len(facts.queries)} queries became more than {np.exp(LEARNED):.0f} times as likely; these are asked."
    )
    if not len(kept):
        raise LlmattrError("the model learned none of the facts: give more --steps")
    facts = Facts(facts.rows, [facts.queries[i] for i in kept])
    return dataclasses.replace(bench, queries=facts.queries, gold=facts.gold), facts, [note]


def chosen(given: str | None, shared: Path, count: int | None) -> Facts:
    """The facts of a set; without a name those of ParaRel where they are there, else the countries of this repository."""
    folder = shared / "data" / "pararel"
    given = given or ("pararel" if folder.exists() else "countries")
    if given == "countries":
        return facts_data.countries(count or 60)
    place = folder if given == "pararel" else shared / "data" / "fewrel"
    if not place.exists():
        raise LlmattrError(f"{given} is not in the folder of shared data: give --shared, or --set countries")
    return facts_data.pararel(place, count or 500) if given == "pararel" else facts_data.fewrel(place, count or 300)


@click.command("facts", help=__doc__)
@click.option("--tiny", is_flag=True, help="A few facts and models, to see that everything runs. Needs --out.")
@click.option(
    "--full", is_flag=True, help="SmolLM2 fine-tuned on sentences of FewRel; no models that judge: hours of one core."
)
@click.option("--set", "name", type=click.Choice(["countries", "pararel", "fewrel"]), help="ParaRel where it is, without it.")
@click.option("--count", type=click.IntRange(min=2), help="How many facts, or countries (of three facts each).")
@click.option("--shared", type=click.Path(path_type=Path), default=SHARED, help="The folder that holds data/.")
@click.option("--train", help='Your rows, a file or hub id: {"prompt", "completion", "fact"}.')
@click.option("--queries", help="Your queries, of the same form: gold = same fact.")
@click.option("--models", type=click.IntRange(min=2), help="Models that datamodels are fitted on (200).")
@click.option("--held-out", type=click.IntRange(min=0), help="Models that judge (50); 0 for none.")
@with_options(OPTIONS)
def command(**given: Any) -> None:
    """Train, score, judge, print a table, and save it."""
    check(given)
    how = circumstances(said())
    with refusing(), quiet_thread():
        _run(given, given["out"] or (OUT.with_stem("facts-full") if given["full"] else OUT), how)


def _run(given: dict[str, Any], out: Path, how: Figure) -> None:
    full, tiny = given["full"], given["tiny"]
    if given["train"]:
        facts = facts_data.own(given["train"], given["queries"])
    else:
        facts = chosen("fewrel" if full else given["name"], given["shared"], 4 if tiny else given["count"])
    model = "smollm2" if full and given["model"] == "scratch" else given["model"]
    size = TINY if tiny else Size(held_out=0) if full else Size()
    size = dataclasses.replace(size, **{key: given[key] for key in ("models", "held_out") if given[key] is not None})
    if 0 < size.held_out < 4:
        raise LlmattrError("--held-out is 0, or at least 4: LDS is a rank correlation over these models")
    recipe = Recipe(steps=given["steps"] or (30 if tiny else "auto"), batch_size=32, learning_rate=3e-3)
    if model != "scratch":
        recipe = Recipe(steps=given["steps"] or "auto", batch_size=8)
    rows, queries = (as_words(part, model) for part in (facts.rows, facts.queries))
    bench = Bench(rows, queries, recipe, out.with_suffix(".runs"), size, model, given["jobs"], facts.gold)
    bench.claim(given["again"])
    bench, facts, told = learned(bench, facts) if full else (bench, facts, [])
    wanted = named(given["methods"])
    found, agreed, notes = compared(bench, facts, wanted or usual(size.held_out > 0))
    parts = {
        "facts": Section(" ".join((__doc__ or "").split()), found, [*told, *notes]),
        "agreement": Section("Kendall's tau of two methods' scores of all rows.", agreed),
    }
    publish("facts", parts, how, out)


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval facts")
