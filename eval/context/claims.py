"""Claims with references, of AttributionBench: does a reference support the claim?"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from eval.context.data import Question, question
from eval.harness import data
from eval.harness.formats import attribution_bench

CHOOSING = ("dev_all_subset_balanced.jsonl",)
JUDGING = ("test_all_subset_balanced_sampled500.jsonl", "test_ood_all_subset_balanced.jsonl")
EACH = 80  # claims that are supported, and that are not, of each half
MOST, LEAST = 2200, 60  # characters of the references: longer ones cost more than they tell
WORDS = 5  # of a claim at least: an answer of one word claims nothing
SEED = 18


class Claim(NamedTuple):
    """A claim as the answer to its question; `kind`: "supported" or "unsupported", as people judged."""

    kind: str
    question: Question
    judging: bool


def claims() -> list[Claim]:
    """Drawn by a seed: half of the claims supported, from all sets alike; raises `LlmattrError` where the data is not here."""
    return [*_drawn(CHOOSING, judging=False), *_drawn(JUDGING, judging=True)]


def _drawn(files: tuple[str, ...], judging: bool) -> Iterator[Claim]:
    folder = data.files("attributionbench")
    rows = [row for file in files for row in attribution_bench(folder / file) if _fits(row)]
    rng = np.random.default_rng(SEED)
    for kind in ("supported", "unsupported"):
        of_kind: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["claims"][0]["supported"] is (kind == "supported"):
                of_kind.setdefault(row["set"], []).append(row)
        each = EACH // len(of_kind)
        for some in of_kind.values():
            yield from (Claim(kind, _question(some[i]), judging) for i in rng.permutation(len(some))[:each].tolist())


def _fits(row: Mapping[str, Any]) -> bool:
    length = sum(len(text) for document in row["documents"] for text in document["sentences"])
    return LEAST < length < MOST and len(row["claims"][0]["text"].split()) >= WORDS


def _question(row: Mapping[str, Any]) -> Question:
    papers = [(document.get("title"), document["sentences"]) for document in row["documents"]]
    return question(row["id"], row["question"], papers, answer=row["claims"][0]["text"])
