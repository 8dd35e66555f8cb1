"""What would the model say without these training rows? Predict it from models trained on parts of the data, then check.

    python recipes/datamodel.py          # some 300 small models: minutes on two cores; stop it (Ctrl-C) and start it again
    python recipes/datamodel.py --tiny   # 24 models: seconds

Real facts: the capitals of countries, each stated in three ways. The model starts from random weights, so the rows are the
only place that it can know them from. Asked in a fourth way, which rows made it answer? The same from the command line:

    llmattr trace datamodel --data capitals/rows.jsonl --queries capitals/queries.jsonl --out capitals/runs --verify 3
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from llmattr.curation.counterfactual import brittleness, counterfactual, top_removals
from llmattr.retraining import Recipe
from llmattr.retraining.build import attributed, retraining_ablation
from llmattr.retraining.methods.datamodels import Datamodel

COUNTRIES = Path(__file__).parent / "documents" / "countries.csv"
WAYS = ["The capital of {} is", "{} is governed from", "The seat of government of {} is"]
ASKED = "The capital city of {} is"


def facts(count):
    """Training rows and queries; rows of the same fact carry its country."""
    with COUNTRIES.open(encoding="utf-8", newline="") as file:
        countries = list(csv.DictReader(file))[:count]
    rows, queries = [], []
    for row in countries:
        fact = {"completion": f" {row['capital']}", "fact": row["country"]}
        rows += [{"prompt": way.format(row["country"]), **fact} for way in WAYS]
        queries.append({"prompt": ASKED.format(row["country"]), **fact})
    return rows, queries


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="fewer facts and models, in seconds")
    options.add_argument("--models", type=int, help="how many models are trained; 300, tiny 24")
    options.add_argument("--out", type=Path, default=Path("capitals"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows, queries = facts(6 if args.tiny else 30)
    for name, part in (("rows", rows), ("queries", queries)):
        (args.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    recipe = Recipe(steps=40 if args.tiny else 100, batch_size=len(rows) // 3, learning_rate=5e-3)
    n_models = args.models or (24 if args.tiny else 300)

    print(f"{n_models} models on random halves of {len(rows)} rows about {len(queries)} capitals; kept in {args.out / 'runs'}")
    ablation = retraining_ablation("scratch", rows, queries, out=args.out / "runs", recipe=recipe)
    found = attributed(ablation, Datamodel(n_models=n_models))
    found.save(args.out / "datamodel.html")
    right = np.mean([rows[int(s.id)]["fact"] == queries[s.target]["fact"] for s in found.top(1)])
    print(f"the highest row states the fact that was asked for {right:.0%} of the queries")
    print(f"held-out models are foretold with a rank correlation of {np.nanmean(found.lds):.2f};", end=" ")
    print(f"the noise between seeds allows {np.nanmean(found.ceiling):.2f}")

    asked, k = 3, 3
    everything = ablation(np.ones((1, len(rows)), dtype=bool))[0, asked]
    check = counterfactual(found, ablation, top_removals(found, k)[asked : asked + 1])
    print(f"\n{queries[asked]['prompt']}{queries[asked]['completion']}: {everything:+.2f} nats with all rows")
    print(f"without its {k} highest rows: predicted {check.predicted[0, asked]:+.2f}, ", end="")
    print(f"trained again {check.seen[0, asked]:+.2f}")
    for score in found[asked].top(k):
        print(f"   {score.score:+.2f}  {score.text}")

    fragile = brittleness(found, threshold=np.log(0.5))  # a probability of one half
    size = fragile.sizes[asked]
    if size > 0:
        seen = ablation(fragile.masks[asked : asked + 1])[0, asked]
        print(f"predicted to flip it (less likely than not): the {size} highest; trained again, {np.exp(seen):.0%} likely")
        if seen > np.log(0.5):
            print("(rows that say the same stand in for one another, which a sum of effects cannot know)")
    print(f"\npage: {args.out / 'datamodel.html'}")


if __name__ == "__main__":
    main()
