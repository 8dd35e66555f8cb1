"""Which training rows are wrong? Plant wrong ones among true facts, look for them in five ways, train again without them.

    python recipes/mislabelled.py          # 240 rows, some 50 small models and 20 to check: a minute and a half of one core
    python recipes/mislabelled.py --tiny   # 48 rows, some 40 models: 15 seconds

Capitals of countries, each stated in six ways; in 8 % of the rows it is another country's. The other rows about a country
contradict a wrong one: a model that did not see it doubts it, and one that did had to learn it by heart. On your own data:

    llmattr trace index --model EARLY --data rows.jsonl --out early.idx grad-dot   # EARLY: a checkpoint of the training
    llmattr trace self early.idx --top 20
    llmattr trace data-oob --data rows.jsonl --queries queries.jsonl --out runs --n-bags 64
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from llmattr import build_index
from llmattr.metrics import precision_at_k, roc_auc
from llmattr.retraining import Recipe, retraining_ablation, scratch_model
from llmattr.retraining.build import attributed
from llmattr.retraining.methods.data_oob import DataOob
from llmattr.training.methods import GradDot

WAYS = ["The capital of {} is", "{} is governed from", "The seat of government of {} is", "Ministers of {} work in",
        "The parliament of {} sits in", "The president of {} lives in"]  # fmt: skip
ASKED = "The capital city of {} is"


def facts(count, seed):
    """Training rows, some of them spoilt, and clean queries; `true` is what a row should say."""
    with (Path(__file__).parent / "documents" / "countries.csv").open(encoding="utf-8", newline="") as file:
        known = [(row["country"], f" {row['capital']}") for row in csv.DictReader(file)][:count]
    rows = [{"prompt": way.format(land), "completion": said, "true": said} for land, said in known for way in WAYS]
    rng = np.random.default_rng(seed)
    for number in rng.choice(len(rows), size=round(0.08 * len(rows)), replace=False):
        rows[number]["completion"] = rng.choice([said for _, said in known if said != rows[number]["true"]]).item()
    return rows, [{"prompt": ASKED.format(land), "completion": said} for land, said in known]


def self_influence(lm, rows):
    """Each row's squared gradient: how hard the model has to be pushed for this row alone."""
    with tempfile.TemporaryDirectory() as folder:
        found = build_index(lm, rows, Path(folder) / "index", GradDot(parameters="blocks")).self_influence()
    return np.array([one.score for one in sorted(found.top(None), key=lambda one: int(one.id))])


def out_of_sample(ablation, n, folds, seed):
    """The probabilities [n, classes] of every completion for every row, by models that were not trained on the row."""
    fold = np.random.default_rng(seed).permutation(n) % folds
    logprobs = ablation(fold != np.arange(folds)[:, None]).reshape(folds, n, -1)[fold, np.arange(n)]
    odds = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="fewer facts and models, in seconds")
    options.add_argument("--seed", type=int, default=0, help="which rows are spoilt, and how")
    options.add_argument("--out", type=Path, default=Path("mislabelled"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows, queries = facts(8 if args.tiny else 40, args.seed)
    (args.out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    n, wrong = len(rows), np.array([row["completion"] != row["true"] for row in rows])
    model = scratch_model(row["prompt"] + row["completion"] for row in [*rows, *queries])

    steps, size, runs = (50, 16, 3) if args.tiny else (150, 32, 8)

    def training(asked, share=1.0):
        recipe = Recipe(steps=round(share * steps), batch_size=size, learning_rate=3e-3, start="random")
        return retraining_ablation(model, rows, asked, recipe=recipe, out=args.out / "runs")

    print(f"{wrong.sum()} of {n} rows about {len(queries)} capitals are spoilt")
    scores = {}  # high = suspect
    for when, share in (("a third of the way", 1 / 3), ("at the end", 1.0)):
        trainer = training(rows, share).trainer
        lm = trainer.trained(np.ones(n), seed=args.seed)
        scores[f"self-influence, {when}"] = self_influence(lm, rows)
        scores[f"the row's own loss, {when}"] = -trainer.measured(lm)
    scores["data-oob"] = -attributed(training(rows), DataOob(n_bags=20 if args.tiny else 40)).values[0]
    classes = sorted({row["completion"] for row in rows})  # a row's label is the capital that it names
    labels = np.array([classes.index(row["completion"]) for row in rows])
    every = training([{"prompt": row["prompt"], "completion": said} for row in rows for said in classes])
    probabilities = out_of_sample(every, n, 4 if args.tiny else 8, args.seed)
    scores["confident learning (cleanlab)"] = -get_label_quality_scores(labels, probabilities, method="normalized_margin")
    scores["random"] = np.random.default_rng(args.seed).normal(size=n)

    print(f"\n{'suspected by':<40} {'ROC AUC':>8} {f'of first {wrong.sum()} wrong':>20}")
    for name, found in scores.items():
        auc, precision = roc_auc(found[None], wrong[None])[0], precision_at_k(found[None], wrong[None], int(wrong.sum()))[0]
        print(f"{name:<40} {auc:>8.2f} {precision:>20.0%}")

    flagged = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)  # it says how many, too
    print(f"\nconfident learning calls {flagged.sum()} rows wrong, {flagged[wrong].sum()} of the {wrong.sum()} are; the first:")
    for number in np.argsort(-scores["confident learning (cleanlab)"])[:8]:
        verdict = f"spoilt; true:{rows[number]['true']}" if wrong[number] else "is right"
        print(f"   {rows[number]['prompt']}{rows[number]['completion']:<16} ({verdict})")

    others = np.random.default_rng(args.seed).permutation(flagged)  # as many rows, any
    kept = {"all rows": ~np.zeros(n, bool), "without those": ~flagged, "without as many others": ~others, "true rows": ~wrong}
    seen = training(queries).with_pairs().replicated(np.stack(list(kept.values())), runs)
    spoilt = np.array([any(wrong[len(WAYS) * number :][: len(WAYS)]) for number in range(len(queries))])
    print(f"\n{'trained on':<24} {'nats of a true answer':>24} {'where rows were spoilt':>24}   ({runs} models each)")
    for name, outputs in zip(kept, seen, strict=True):
        means = [part.mean(axis=1) for part in (outputs, outputs[:, spoilt])]
        cells = [f"{mean.mean():.2f} ±{mean.std(ddof=1) / runs**0.5:.2f}" for mean in means]
        print(f"{name:<24} {cells[0]:>24} {cells[1]:>24}")


if __name__ == "__main__":
    main()
