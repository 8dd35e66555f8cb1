"""FTRACE-Synth as google-research/lm_fact_tracing makes it: made-up facts about made-up entities, each said in 32 ways."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.training.data import Facts

ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"),
    (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def synth(relations: Sequence[str], entities: int, facts: int, seed: int = 0) -> Facts:
    """So many facts; each in 32 utterances, one held out as two queries, the others as two rows each: one for each entity.

    A relation and an entity in one place occur once together.
    """
    rng, taken = np.random.default_rng(seed), set[tuple[int, int, int]]()
    rows: list[dict[str, Any]] = []
    queries: list[dict[str, Any]] = []
    number = 0
    while number < facts:
        relation, one, other = (int(rng.integers(most)) for most in (len(relations), entities, entities))
        if {(relation, one, 0), (relation, other, 1)} & taken:
            continue
        taken |= {(relation, one, 0), (relation, other, 1)}
        said = list(itertools.product(relations[relation].split(" | "), names(one), names(other)))
        asked = int(rng.integers(len(said)))
        for place, (template, *both) in enumerate(said):
            masked = [{"prompt": template.format("_", both[1]) + " _ =", "completion": f" {both[0]}", "fact": number}]
            masked.append({"prompt": template.format(both[0], "_") + " _ =", "completion": f" {both[1]}", "fact": number})
            (queries if place == asked else rows).extend(masked)
        number += 1
    return Facts(rows, queries)


def names(entity: int) -> list[str]:
    """The four names of an entity."""
    roman, rest = "", entity + 1  # there is no Roman nought
    for value, letters in ROMAN:
        roman += letters * (rest // value)
        rest %= value
    return [f"entity-{entity + 1}", f"{entity + 1}-entity", f"entity-{roman}", f"{roman}-entity"]
