"""Which method should you believe on YOUR data? Judge some by ablations that they have not seen, and by gold sources.

    python recipes/compare_methods.py          # both kinds, on examples of recipes/documents: some four minutes of one core
    python recipes/compare_methods.py --tiny   # training data alone, a few rows: 15 seconds
    python recipes/compare_methods.py --context questions.jsonl --methods context-cite,attention,bm25
    python recipes/compare_methods.py --train rows.jsonl --queries queries.jsonl --methods datamodel,trackstar,bm25

Rows: {"question", "documents": [{"title", "sentences": [...]}], "answer" (else the model's own), "supporting": [[document,
sentence], ...] (gold, from 0; optional)}, or {"prompt", "completion", "fact" (gold for the queries with the same; optional)}.
"""

import argparse
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd

from llmattr import LM, LlmattrError, cite, metrics, retrain, trace
from llmattr.ablation import random_masks
from llmattr.cli.files import quiet
from llmattr.cli.measured import report
from llmattr.retraining import ON_MASKS, Recipe, retraining_ablation
from llmattr.text.reading import read_rows

DOCUMENTS = Path(__file__).parent / "documents"
CONTEXT, TRAINING = "context-cite,leave-one-out,attention,bm25", "datamodel,trackstar,grad-cos,bm25"
FITTED = {method.name: method for method in ON_MASKS if hasattr(method, "n_models")}
# Scores [t, n] and seconds of each method, gold [t, n], held-out ablations [m, n] (True: kept), what is said then [m, t].
Case = namedtuple("Case", "values seconds gold masks outputs")


def of_context(row, lm, names, held_out):
    """A question: sources are the documents' sentences, the target is the answer, an ablation is a prompt without some."""
    cut = {" ".join(one["sentences"]): one["sentences"] for one in row["documents"]}
    documents = [{"text": " ".join(one["sentences"]), "title": one.get("title")} for one in row["documents"]]
    answer, marked, values, seconds = row.get("answer"), row.get("supporting") or [], {}, {}
    for name in names:
        found = cite(lm, documents, row["question"], response=answer, sources=cut.get, method=name, verify=False)
        answer, values[name], seconds[name] = found.response, found.values[:1], found.run["seconds"]["attribute"]
    gold = [[d, s] in marked for d, one in enumerate(row["documents"]) for s, x in enumerate(one["sentences"]) if x.strip()]
    masks = random_masks(held_out, len(gold), seed=1)  # methods draw theirs with seed 0
    return Case(values, seconds, np.array([gold]), masks, found.session.ablation(masks)[:, :1])


def of_training(rows, queries, names, held_out, models):
    """Training data: sources are its rows, targets the queries, an ablation is a small model trained again without some."""
    gold = np.array([[asked.get("fact") == row.get("fact") is not None for row in rows] for asked in queries])
    training = {"model": "scratch", "data": rows, "queries": queries}
    training["recipe"] = Recipe(batch_size=min(32, -(-len(rows) // 3)), learning_rate=5e-3)
    truth = retraining_ablation(**training)
    rows, queries = truth.trainer.rows.rows, truth.trainer.queries.rows  # as the model reads them
    trained, values, seconds = truth.trainer.trained(np.ones(len(rows)), seed=0), {}, {}
    for name in names:
        started = time.perf_counter()
        if name in FITTED:  # it trains models of its own, others than those that judge
            values[name] = retrain(**training, method=FITTED[name](n_models=models)).values
        else:
            values[name] = trace(trained, rows, queries, name).to_frame().pivot_table("score", "target", "source").to_numpy()
        seconds[name] = time.perf_counter() - started
    masks = random_masks(held_out, len(rows), seed=1)
    return Case(values, seconds, gold, masks, truth(masks))


def show(cases, about, path):
    """Every method on the targets of all cases: the table, the differences to the first method, and how far methods agree."""
    found, seconds = {}, {name: round(sum(case.seconds[name] for case in cases), 1) for name in cases[0].seconds}
    for case in cases:
        case.values["random"] = np.random.default_rng(0).normal(size=case.gold.shape)
        if all(one.gold.any() for one in cases):
            case.values["gold sources"] = case.gold.astype(float)
        for name, values in case.values.items():  # nan where there is no gold
            each = {"LDS": metrics.lds(values, case.masks, case.outputs)}
            each["MRR"], each["AP"] = (of(values, case.gold) for of in (metrics.reciprocal_rank, metrics.average_precision))
            found.setdefault(name, []).append({**each, "recall@3": metrics.recall_at_k(values, case.gold, 3)})
    found = {name: {m: np.concatenate([one[m] for one in of]) for m in of[0]} for name, of in found.items()}
    together = {name: {m: each for m, each in of.items() if np.isfinite(each).any()} for name, of in found.items()}
    report(together, about, {"seconds": seconds}, f"Seconds: {seconds}", groups=None, seed=0, json=path)
    taus = {a: {b: np.mean([metrics.kendall(c.values[a], c.values[b]).mean() for c in cases]) for b in found} for a in found}
    print("\nAgreement of scores (Kendall's tau, mean over targets)", pd.DataFrame(taus).round(2).to_string(), "", sep="\n")


def main():
    """Read, score, judge, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default, about in (
        ("context", None, "file of questions"), ("train", None, "file of rows"), ("queries", None, "file of what is asked"),
        ("methods", None, "with commas between; the first is the yardstick"), ("held-out", 32, "ablations that judge"),
        ("models", 200, "that datamodel and its like are fitted on"), ("model", "smollm2", "for --context: a name or folder"),
    ):  # fmt: skip
        options.add_argument(f"--{name}", default=default, type=type(default or ""), help=about)
    options.add_argument("--tiny", action="store_true", help="18 rows, 40 models, 12 that judge: in seconds")
    options.add_argument("--out", type=Path, default=Path("compare-methods"), help="folder for the tables")
    args = options.parse_args()
    if bool(args.train) != bool(args.queries):
        options.error("--train and --queries go together")
    if not args.context and not args.train:
        args.context = None if args.tiny else DOCUMENTS / "questions.jsonl"
        args.train, args.queries = DOCUMENTS / "capitals.jsonl", DOCUMENTS / "capitals_asked.jsonl"
    quiet()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        if args.context:
            questions, lm, names = read_rows(args.context), LM.load(args.model), (args.methods or CONTEXT).split(",")
            cases = [of_context(row, lm, names, args.held_out) for row in questions]
            show(cases, f"over {args.held_out} prompts without some of the sentences", args.out / "context.json")
        if args.train:
            rows, queries, names = read_rows(args.train), read_rows(args.queries), (args.methods or TRAINING).split(",")
            if args.tiny:
                rows, queries, args.models, args.held_out = rows[:18], queries[:6], 40, 12
            case = of_training(rows, queries, names, args.held_out, args.models)
            show([case], f"over {args.held_out} models without some of the {len(rows)} rows", args.out / "training.json")
    except (LlmattrError, KeyError, TypeError, OSError) as error:
        options.error(f"{error}" if isinstance(error, LlmattrError) else f"a row is not of the form: {error!r}")


if __name__ == "__main__":
    main()
