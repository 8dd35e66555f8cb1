"""How stable is this attribution? The same question with several seeds and numbers of ablations, and which number is enough.

    python recipes/stability.py          # the embedded SmolLM2, 5 seeds: about three minutes of one core
    python recipes/stability.py --tiny   # random weights, 3 seeds: ten seconds; only to see that everything runs

context-cite draws random sets of sentences, so another seed gives other scores. How much other, is it as much as the standard
errors say, and are the same sentences cited? Your own: --document report.txt --query "When was it built?". The first 32
ablations of a seed are those of a run with 16 and 16 more, so with a cache only the largest number is computed.
"""

import argparse
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from llmattr import LM, LlmattrError, cite, metrics
from llmattr.context import METHODS
from llmattr.retraining.scratch import scratch_model

TOWER = Path(__file__).parent / "documents" / "eiffel_tower.md"
QUERY = "How tall is the Eiffel Tower?"
TINY_ANSWER = "The Eiffel Tower is 330 metres tall."  # random weights have nothing to say
ALIKE = 0.8  # top-3 Jaccard of two seeds: from here on a number of ablations is called enough


def tiny_model(text):
    """Random weights, wide enough that every word of the context changes the answer a little."""
    torch.manual_seed(0)
    model, tokenizer = scratch_model([text])
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    return LM(model, tokenizer, "tiny")


def agreement(results):
    """How far results [one a seed] of the same number of ablations agree about the whole answer, target 0."""
    values, stderr, cited = (np.stack([getattr(r, name)[0] for r in results]) for name in ("values", "stderr", "cited"))
    one, other = np.array(list(combinations(range(len(results)), 2))).T  # all pairs of seeds
    said, seen = np.sqrt((stderr**2).mean()), np.sqrt(values.var(axis=0, ddof=1).mean())
    return {
        "kendall": pd.Series(metrics.kendall(values[one], values[other])).mean(),
        "top-3 jaccard": metrics.top_k_jaccard(values[one], values[other], 3).mean(),
        "cited": cited.sum(axis=1).mean(),  # how many sources
        "stderr": said,  # root mean square over seeds and sources
        "spread": seen,  # standard deviation between seeds, likewise
        "spread/stderr": seen / said,
    }


def plot(table, path):
    """Agreement, and the errors beside the spread, against the number of ablations."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    table[["kendall", "top-3 jaccard"]].plot(ax=left, marker="o", title="agreement between seeds", ylim=(-0.05, 1.05))
    table[["stderr", "spread"]].plot(ax=right, marker="o", title="error said and spread seen (nats)", ylim=(0, None))
    for axes in (left, right):
        axes.set(xticks=table.index, xlabel="ablations")
    figure.savefig(path, dpi=150)


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="random weights, in seconds")
    options.add_argument("--out", type=Path, default=Path("stability"), help="folder for everything that is made")
    options.add_argument("--document", type=Path, default=TOWER, help="the text file")
    options.add_argument("--query", default=QUERY, help="the question about it")
    options.add_argument("--model", default="smollm2", help="hub id, local folder, or smollm2")
    options.add_argument("--seeds", type=int, help="how many seeds; 5, tiny 3")
    options.add_argument("--counts", type=int, nargs="+", help="numbers of ablations; 16 32 64 128, tiny 8 16")
    args = options.parse_args()
    seeds, counts = args.seeds or (3 if args.tiny else 5), args.counts or ([8, 16] if args.tiny else [16, 32, 64, 128])
    if seeds < 2:
        options.error("--seeds must be 2 or more: one has nothing to be compared with")
    try:
        text = args.document.read_text(encoding="utf-8")
        args.out.mkdir(parents=True, exist_ok=True)
        lm = tiny_model(f"{text} {TINY_ANSWER} {args.query}") if args.tiny else LM.load(args.model)
        response, results = TINY_ANSWER if args.tiny else None, {}
        for count, seed in product(sorted(counts), range(seeds)):
            method = METHODS["context-cite"](n_ablations=count)
            how = {"method": method, "seed": seed, "verify": False, "cache": args.out / "ablations"}
            results.setdefault(count, []).append(cite(lm, text, args.query, response=response, **how))
            response = results[count][-1].response  # every run attributes the same answer
    except (OSError, UnicodeDecodeError, LlmattrError) as error:
        options.exit(2, f"error: {args.document}: {error}\n")

    print(f"{args.query}\n{response}\n\nMeans over {seeds} seeds or their pairs; scores in nats of log-odds:")
    table = pd.DataFrame({count: agreement(found) for count, found in results.items()}).T.rename_axis("ablations")
    print(table.round(2).to_string())

    most, last = list(results.items())[-1]
    shares = pd.DataFrame({count: np.mean([r.cited[0] for r in found], axis=0) for count, found in results.items()})
    ever = shares.any(axis=1)
    shares["mean score"] = np.mean([r.values[0] for r in last], axis=0)
    shares["source"] = [part[:60] for part in last[0].sources.texts]
    print("\nShare of seeds that cite a source, by the number of ablations (left out: what no seed ever cites):")
    print(shares[ever].round(2).to_string())

    steady = (count for count in table.index if (table.loc[count:, "top-3 jaccard"] >= ALIKE).all())
    found = next((f"{count} ablations are enough" for count in steady), f"even {most} ablations are not enough")
    print(f"\nSo that two seeds have the same three highest sources (Jaccard {ALIKE} on average), {found} here.")
    unsettled = ((shares[most] > 0) & (shares[most] < 1)).sum()
    print(f"Cited by some seeds only, even with {most}: {unsettled} of {len(shares)} sources, with effects near their errors.")
    ratio = table["spread/stderr"].iloc[-1]
    errors = "too small" if ratio > 1.25 else "too large, so cautious" if ratio < 0.8 else "honest"
    print(f"With {most}, scores spread {ratio:.2f} times as far between seeds as their errors say: those are {errors}.")
    plot(table, args.out / "stability.png")
    table.to_csv(args.out / "stability.csv")
    print(f"plot: {args.out / 'stability.png'}; table: {args.out / 'stability.csv'}")


if __name__ == "__main__":
    main()
