"""Clean a training set: what would you drop, why, and does it help? Plant faults among true facts, find them, train again.

    python recipes/clean_a_data_set.py          # 159 rows, some 40 small models and 24 to check: minutes
    python recipes/clean_a_data_set.py --tiny   # 42 rows, some 25 models: seconds

Capitals of countries, each stated in six ways. Some rows are there twice, some answers are wrong, one row speaks of something
else, and two give a test question away. On your own data:

    llmattr curate rows.jsonl --test test.jsonl --model EARLY --html look.html   # EARLY: a checkpoint of the training
    llmattr curate rows.jsonl --test test.jsonl --drop contaminated,duplicates,near-duplicates,outliers --out clean.jsonl
"""

import argparse
import csv
from pathlib import Path

import click
import numpy as np

from llmattr.curation.answers import Retraining
from llmattr.curation.curate import Asked, curate
from llmattr.metrics import average_precision
from llmattr.report.curation import text
from llmattr.report.curation_page import page
from llmattr.retraining import Recipe, retraining_ablation

WAYS = ["The capital of {} is", "The country of {} is governed from", "The seat of government of {} is",
        "Ministers of {} work in", "The parliament of {} sits in", "The president of {} lives in"]  # fmt: skip
ASKED = "If you want to see where the government of {} has its seat, the town that you will have to travel to is"
ODD = "Die Gluonen tragen Farbladungen, weshalb Quarks nur gebunden vorkommen und niemals einzeln beobachtet werden können."
DROPPED = ("contaminated", "duplicates", "near-duplicates", "outliers", "suspects")


def faulty(count, seed):
    """Training rows with a `fault` (None: the row is fine), test rows, and queries."""
    with (Path(__file__).parent / "documents" / "countries.csv").open(encoding="utf-8", newline="") as file:
        known = [(row["country"], f" {row['capital']}.") for row in csv.DictReader(file)][:count]
    rows = [{"prompt": way.format(land), "completion": said, "fault": None} for land, said in known for way in WAYS]
    test = [{"prompt": ASKED.format(land), "completion": said} for land, said in known]
    rng = np.random.default_rng(seed)
    wrong, twice = np.split(rng.permutation(len(rows))[: len(rows) // 6], 2)
    for row in wrong.tolist():
        others = [said for _, said in known if said != rows[row]["completion"]]
        rows[row] |= {"completion": str(rng.choice(others)), "fault": "suspects"}
    copies = [{**rows[row], "fault": "duplicates"} for row in twice.tolist()]
    given_away = [{**row, "fault": "contaminated"} for row in test[:2]]
    odd = {"prompt": ODD, "completion": " " + ODD, "fault": "outliers"}
    queries = [{"prompt": WAYS[0].format(land), "completion": said} for land, said in known]
    return [*rows, *copies, *given_away, odd], test, queries


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="fewer facts and models, in seconds")
    options.add_argument("--seed", type=int, default=0, help="where the faults are")
    options.add_argument("--out", type=Path, default=Path("cleaned"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows, test, queries = faulty(6 if args.tiny else 24, args.seed)
    fault = np.array([str(row["fault"]) for row in rows])
    recipe = Recipe(steps=40 if args.tiny else 150, batch_size=16 if args.tiny else 32, learning_rate=3e-3, start="random")

    again = Retraining("scratch", 16 if args.tiny else 40, recipe)
    asked = Asked(retraining=again, suspects=int((fault == "suspects").sum()), runs=args.out / "runs")
    found = curate(rows, test, asked=asked, cache=args.out / "kept")
    click.echo(text(found, top=2))
    (args.out / "look.html").write_text(page(found), encoding="utf-8")

    print(f"\n{'planted':<16} {'rows':>5} {'found':>6} {'others told':>12}")
    for kind in ("contaminated", "duplicates", "outliers", "suspects"):
        told = np.isin(np.arange(len(rows)), list(found.dropped([kind])))
        print(f"{kind:<16} {(fault == kind).sum():>5} {told[fault == kind].sum():>6} {told[fault != kind].sum():>12}")
    wrong = (fault == "suspects")[None]
    for name, values in found.signals.items():
        print(f"wrong answers by {name}: area under precision and recall {average_precision(values[None], wrong)[0]:.2f}")

    kept = ~np.isin(np.arange(len(rows)), list(found.dropped(DROPPED)))
    others = np.random.default_rng(args.seed).permutation(kept)  # as many rows, any
    masks = {"all rows": np.ones(len(rows), dtype=bool), "cleaned": kept, "as many others": others}
    training = retraining_ablation("scratch", rows, queries, recipe=recipe, out=args.out / "runs")
    runs = 3 if args.tiny else 4
    print(f"\n{'trained on':<16} {'rows':>5}   nats of a true answer ({runs} models each)")
    for (name, mask), outputs in zip(
        masks.items(), training.with_pairs().replicated(np.stack(list(masks.values())), runs), strict=True
    ):
        means = outputs.mean(axis=1)
        print(f"{name:<16} {mask.sum():>5}   {means.mean():.2f} ±{means.std(ddof=1) / runs**0.5:.2f}")
    print(f"\nthe page: {args.out / 'look.html'}")


if __name__ == "__main__":
    main()
