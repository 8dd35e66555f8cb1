"""FTRACE-Synth by its own protocol, with a smaller model: `python -m eval ftrace`.

Made-up facts about made-up entities, each said in 32 ways (2 wordings of the relation, 4 names of each entity) of which one is
the query, so that what a model knows of a fact comes from its proponents alone. Asked is what the model learned: right at the
end of training and not near it before. Candidates of a query are its proponents, the 100 best of BM25, 100 rows with the same
answer and 100 others; MRR and recall@10 are taken over these. Akyurek et al. 2022, arXiv 2205.11482; the generator is that of
google-research/lm_fact_tracing. There the model is mT5-base, which fills in a masked entity; here a small transformer from
random weights, which is asked for the entity behind the masked sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Bool, Float

from eval import RESULTS
from eval.harness import data
from eval.harness.contract import Entry, Scored
from eval.harness.run import Plan, benchmark, budgets, split
from eval.training import scoring
from eval.training.data import Facts
from eval.training.synth import synth
from eval.training.world import GOLD, Size, World
from eval.training.worlds import OPTIONS, told, world
from llmattr import metrics
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retrieval.bm25 import bm25_scores
from llmattr.text.rows import row_text

CANDIDATES = 100  # of each kind
# Which of the four names of an entity stands in a sentence is chance, so that 1 / 4 is the most that a right answer can have.
RIGHT, NEAR = float(np.log(1 / 2 / 4)), float(np.log(1 / 4 / 4))
FIRST = 0.1  # the first checkpoint's share of the steps
ASKED = 200  # queries at most
TINY = ("{0} was born in {1} | {0}'s birth place is {1}", "{0} is owned by {1} | {1} owned {0}")  # of no file
METHODS = (
    "tracin",
    "trackstar",
    "trak",
    "grad-cos",
    "logra",
    "rep-sim",
    "embeddings",
    "bm25",
    "random",
    "length",
    "word-share",
)
NOTES = (
    "Right at the end: half of the 1/4 that one of four names can have at most. Not near it before: at a "
    "tenth of the steps less than a quarter of that. There: the best of a beam, and not among its three best before.",
    "Published, with mT5-base fine-tuned on 3.2 million masked sentences (sentence level, three seeds; MRR, P@10, R@10 in %): "
    "BM25 87.69, 52.02, 4.20; TracIn 100.00, 99.50, 8.02; embeddings of the model 99.58, 97.12, 7.83 (the benchmark card of "
    "FTRACE in SokolAnn/BenchmarkCards, not the paper itself). With 62 proponents of a query R@10 cannot exceed 0.16.",
)


@dataclass(frozen=True, eq=False)
class Candidates(World):
    """A world in which each query's scores count for its candidates alone."""

    @cached_property
    def candidates(self) -> Bool[np.ndarray, "t n"]:
        """Proponents, BM25's best, rows with the same answer, and others."""
        texts, asked = ([row_text(row) for row in part] for part in (self.rows, self.queries))
        alike = bm25_scores(texts, asked, idf="bm25+")
        chosen, rng = self.facts.gold.copy(), np.random.default_rng(0)
        answers = np.array([row["completion"] for row in self.rows])
        np.put_along_axis(chosen, metrics.top_k(alike, min(CANDIDATES, len(texts))), True, axis=1)
        for t, query in enumerate(self.queries):
            same = np.flatnonzero((answers == query["completion"]) & ~self.facts.gold[t])
            chosen[t, rng.permutation(same)[:CANDIDATES]] = True
            chosen[t, rng.permutation(len(texts))[:CANDIDATES]] = True
        return chosen

    def support(self, scored: Scored) -> dict[str, Float[np.ndarray, " t"]]:
        """Where the proponents stand among the candidates."""
        values = np.where(self.candidates, scored.values, -np.inf)
        found = super().support(replace(scored, values=values, cited=None))
        return found | {"P@10": metrics.precision_at_k(values, self.facts.gold, min(10, len(self.rows)))}


def learned(made: Candidates) -> tuple[Candidates, str]:
    """The world of the queries that were learned between the first checkpoint and the last."""
    trainer = made.ablation.causal("learned queries")
    first, last = (trainer.measured(LM.load(place)) for place in made.checkpoints(shares=(FIRST, 1.0)))
    kept = np.flatnonzero((last >= RIGHT) & (first < NEAR))[:ASKED]
    if not len(kept):
        raise LlmattrError("the model learned none of the facts between the first checkpoint and the last: give more --steps")
    facts = Facts(made.facts.rows, [made.facts.queries[i] for i in kept])
    return replace(made, facts=facts), f"{len(kept)} of {len(made.facts.queries)} queries were learned; these are asked."


def _published() -> list[str]:
    return (data.files("ftrace_synth") / "relations.txt").read_text(encoding="utf-8").splitlines()[:10]


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """The facts, methods of an index, and the proponents as scores."""
    count, relations = (20, TINY) if given["tiny"] else (given["facts"], _published())
    entities = 2 * count
    facts = synth([one.strip() for one in relations], entities, count)
    size = Size(held_out=0, removed=0, runs=1)
    given = {**given, "steps": given["steps"] or (1000 if given["tiny"] else None)}
    made, note = learned(world(given, folder, facts, of="ftrace-synth", size=size, make=Candidates))
    asked = budgets(given["budget"], ())
    return Plan(
        about=" ".join((__doc__ or "").split()),
        problems=[made],
        entries=[*scoring.lines(split(given["methods"]) or METHODS, asked, 1), Entry(GOLD)],
        measures=("MRR", "P@10", "R@10"),
        base="bm25",
        against=("MRR", "P@10"),
        unit="facts",
        budgets=asked,
        notes=lambda worlds: [note, *told(worlds)[:1], *NOTES],
    )


FACTS = click.option("--facts", type=click.IntRange(min=4), default=60, show_default=True, help="Facts, of 62 rows each.")
command = benchmark("ftrace", __doc__ or "", plan, RESULTS / "ftrace.json", FACTS, *OPTIONS)
