"""Which rows should a model be trained on, to answer these questions? Choose them by a datamodel, train, and compare.

    python recipes/select_data.py          # 160 rows, some 330 small models: two and a half minutes of one core
    python recipes/select_data.py --tiny   # 40 rows, some 70 models: 15 seconds

The pool says three things of each country: its capital, its people, its money; the questions ask for capitals alone. Some more
rows name a wrong capital. The choice is made for one way to ask, and judged by another (DsDm: Engstrom et al. 2024,
arXiv 2401.12926). The same from the command line, judged by the queries that it was made for:

    llmattr trace select --data select-data/pool.jsonl --queries select-data/queries.jsonl --out runs --k 64 --n-models 300
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from llmattr.curation.selection import bm25_selection, compare_selections, dsir_selection, random_selection, select
from llmattr.retraining import Recipe, retraining_ablation, scratch_model
from llmattr.retraining.build import attributed
from llmattr.retraining.methods.datamodels import Datamodel

COUNTRIES = Path(__file__).parent / "documents" / "countries.csv"
CAPITAL = ("The capital of {} is", "{} is governed from", "The seat of government of {} is", "Ministers of {} work in")
PEOPLE = ("Somebody from {} is", "Whoever comes from {} is")
CURRENCY = ("The money of {} is", "Prices in {} are given in")
TARGET, JUDGE = "The president of {} lives in", "The capital city of {} is"


def facts(count):
    """The pool of rows, each with its `kind`, and the same questions asked in two ways: to choose by, and to judge by."""
    with COUNTRIES.open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))[:count]
    columns = (("capital", CAPITAL), ("people", PEOPLE), ("currency", CURRENCY))
    said = [(kind, way, row["country"], row[kind]) for kind, ways in columns for row in known for way in ways]
    for number, row in enumerate(known):  # a wrong capital is that of the next country
        wrong = known[(number + 1) % count]["capital"]
        said += [("wrong capital", CAPITAL[(number + turn) % 4], row["country"], wrong) for turn in (0, 1)]
    pool = [{"prompt": way.format(land), "completion": f" {it}", "kind": kind} for kind, way, land, it in said]
    asked = [[{"prompt": w.format(r["country"]), "completion": f" {r['capital']}"} for r in known] for w in (TARGET, JUDGE)]
    return pool, *asked


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="fewer facts and models, in seconds")
    options.add_argument("--models", type=int, help="how many models the datamodel is fitted on; 300, tiny 48")
    options.add_argument("--k", type=int, help="how many rows are chosen; as many as state a capital")
    options.add_argument("--out", type=Path, default=Path("select-data"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pool, targets, judges = facts(4 if args.tiny else 16)
    for name, part in (("pool", pool), ("queries", targets)):
        (args.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    n, kinds = len(pool), np.array([row["kind"] for row in pool])
    k = args.k or int((kinds == "capital").sum())
    texts, wanted = ([row["prompt"] + row["completion"] for row in part] for part in (pool, targets))
    model = scratch_model([*texts, *wanted, *(row["prompt"] for row in judges)])

    def training(queries):
        recipe = Recipe(steps=40 if args.tiny else 80, batch_size=min(32, n // 3), learning_rate=3e-3, start="random")
        return retraining_ablation(model, pool, queries, recipe=recipe, out=args.out / "runs")

    datamodel = Datamodel(n_models=args.models or (48 if args.tiny else 300), bootstraps=0)
    print(f"choose {k} of {n} rows; the datamodel is fitted on {datamodel.n_models} models of random halves")
    choices = {
        "datamodel": select(attributed(training(targets), datamodel), k),
        "bm25": bm25_selection(texts, wanted, k),
        "dsir": dsir_selection(texts, wanted, k),
        "random": np.stack([random_selection(n, k, seed) for seed in range(3)]),
        "all rows": np.arange(n),
        "every true capital": np.flatnonzero(kinds == "capital"),  # what nobody knows beforehand
    }
    found = compare_selections(training(judges), choices, replicates=3)

    names = list(dict.fromkeys(kinds.tolist()))
    print(f"\n{'trained on':<20} {'nats of an answer':>18}   " + " ".join(f"{name:>13}" for name in names))
    for name, (rows, value, stderr) in found.items():
        counts = [f"{(kinds[rows] == kind).sum() / np.atleast_2d(rows).shape[0]:.0f}" for kind in names]
        print(f"{name:<20} {value:>12.2f} ±{stderr:.2f}   " + " ".join(f"{count:>13}" for count in counts))
    print("(log-probability of a true answer, mean; standard errors over 3 models, of random over 3 draws)\n")
    for name in ("datamodel", "bm25", "dsir"):
        gain = found[name].value - found["random"].value
        error = np.hypot(found[name].stderr, found["random"].stderr)
        said = "is worse than" if gain < -2 * error else "does not beat"
        verdict = "beats random" if gain > 2 * error else f"{said} random"
        print(f"{name} {verdict}: {gain:+.2f} ±{error:.2f} nats")


if __name__ == "__main__":
    main()
