"""Tasks with a right word, a wrong one, and a prompt of as many tokens whose right word is another.

Indirect objects (Wang et al. 2022, arXiv 2211.00593), capitals, years (Hanna et al. 2023, arXiv 2305.00586; of a digit, since
models write digits one by one) and choices by letter, as in MIB (Mueller et al. 2025, arXiv 2504.13151).
"""

import csv
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from eval import ROOT

Row = dict[str, str]
NAMES = ("Mary", "John", "Tom", "Anna", "James", "Sarah", "Paul", "Laura", "David", "Emma", "Peter", "Alice")
PLACES = ("store", "park", "school", "office", "station", "garden")
THINGS = ("drink", "book", "ring", "letter", "ball", "map")
WHAT = ("war", "voyage", "project", "reign", "trial", "journey")
KINDS = (
    ("fruit", ("apple", "pear", "plum", "grape", "cherry"), ("hammer", "saw", "drill", "wrench", "axe")),
    ("animal", ("dog", "horse", "cow", "cat", "goat"), ("table", "chair", "lamp", "desk", "shelf")),
    ("colour", ("red", "green", "blue", "yellow", "brown"), ("seven", "nine", "three", "twelve", "four")),
)
TABLE = ROOT / "recipes" / "documents" / "countries.csv"


def indirect_objects(draw: np.random.Generator) -> Iterator[Row]:
    """Who is given it: the one who was named once."""
    while True:
        gets, gives, other = (str(name) for name in draw.choice(NAMES, 3, replace=False))
        place, thing = draw.choice(PLACES), draw.choice(THINGS)

        def said(giver: str, gets: str = gets, gives: str = gives, place: str = place, thing: str = thing) -> str:
            return f"When {gets} and {gives} went to the {place}, {giver} gave a {thing} to"

        yield {"prompt": said(gives), "completion": f" {gets}", "rather_than": f" {gives}", "counterfactual": said(other)}


def capitals(draw: np.random.Generator) -> Iterator[Row]:
    """The capital of a country, and that of another."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    while True:
        one, other = (table[i] for i in draw.choice(len(table), 2, replace=False))
        prompts = (f"The capital of {row['country']} is the city of" for row in (one, other))
        capital = {"completion": f" {one['capital']}", "rather_than": f" {other['capital']}"}
        yield dict(zip(("prompt", "counterfactual"), prompts, strict=True)) | capital


def years(draw: np.random.Generator) -> Iterator[Row]:
    """A year that is later: the next digit is a higher one, and of a year at a decade's begin any may come."""
    while True:
        century, digit, what = draw.integers(11, 20), draw.integers(4, 8), draw.choice(WHAT)
        prompts = (f"The {what} lasted from the year {century}{tens}5 to the year {century}" for tens in (digit, 0))
        answers = {"completion": str(digit + 1), "rather_than": str(digit - 2)}
        yield dict(zip(("prompt", "counterfactual"), prompts, strict=True)) | answers


def choices(draw: np.random.Generator) -> Iterator[Row]:
    """Which of two is of a kind: the letter before it; on the other prompt the two stand the other way round."""
    while True:
        kind, right, wrong = KINDS[draw.integers(len(KINDS))]
        pair = (str(draw.choice(right)), str(draw.choice(wrong)))
        prompts = (f"Question: Which one is a {kind}?\nA. {a}\nB. {b}\nAnswer:" for a, b in (pair, pair[::-1]))
        yield dict(zip(("prompt", "counterfactual"), prompts, strict=True)) | {"completion": " A", "rather_than": " B"}


TASKS: dict[str, Callable[[np.random.Generator], Iterator[Row]]] = {
    "indirect objects": indirect_objects,
    "capitals": capitals,
    "years": years,
    "choices": choices,
}


def solved(task: str, count: int, seed: int, fits: Callable[[Row], bool], tries: int = 60) -> Sequence[Row]:
    """So many prompts of a task, all different, which `fits`: the model solves them, and the other prompt is as long."""
    found: dict[str, Row] = {}
    drawn = TASKS[task](np.random.default_rng(seed))
    for row, _ in zip(drawn, range(tries), strict=False):
        if row["prompt"] not in found and len(found) < count and fits(row):
            found[row["prompt"]] = row
    return list(found.values())
