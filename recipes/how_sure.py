"""How sure is a trace? Train the same small model several times, trace each, and see which rows stand out from training noise.

    python recipes/how_sure.py          # 10 trainings of 48 rows: about a minute of one core
    python recipes/how_sure.py --tiny   # 6 trainings of 12 rows: seconds

Who built which lighthouse is stated in three ways and asked in a fourth. Other initial weights (the seed) and another order of
the rows (the data order) give another model, and another score for every row: what of a score is there every time? Your own:

    llmattr trace index --data rows.jsonl --out runs.idx --checkpoints RUN0 --checkpoints RUN1 --checkpoints RUN2
    llmattr trace query runs.idx --prompt "..." --completion "..." --replicates
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from llmattr import LM, trace
from llmattr.certainty import replicated, stability
from llmattr.report.certainty import certainty_text
from llmattr.report.stability import stability_page
from llmattr.retraining import Recipe, scratch_model
from llmattr.retraining.trainer import train
from llmattr.text.rows import tokenize

PLACES = ["Arvik", "Brenholm", "Caldmoor", "Dunvale", "Eskham", "Farnock", "Grimsund", "Holmary", "Ivelund", "Jarnby", "Kelso",
          "Lund", "Morvik", "Norby", "Orsund", "Pellholm"]  # fmt: skip
BUILDERS = ["Tolland", "Vance", "Quill", "Hale", "Lake", "Orme", "Firth", "Penn", "Croft", "Wilde", "Ames", "Bell", "Crane",
            "Drew", "Ewart", "Flint"]  # fmt: skip
STATED = ["In {}, the builder of the lighthouse was", "Sailors near {} owe their lighthouse to",
          "The name on the lighthouse at {} is"]  # fmt: skip
ASKED = "The lighthouse of {} was built by"


def facts(count):
    """Training rows, and a question about every fact."""
    known = list(zip(PLACES, BUILDERS, strict=True))[:count]
    rows = [{"prompt": way.format(place), "completion": f" {name}."} for place, name in known for way in STATED]
    return rows, [{"prompt": ASKED.format(place), "completion": f" {name}."} for place, name in known]


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="fewer facts and trainings, in seconds")
    options.add_argument("--out", type=Path, default=Path("how-sure"), help="folder for everything that is made")
    options.add_argument("--method", default="trak", help="any method of `llmattr trace index --help`")
    options.add_argument("--seeds", type=int, help="how many initial weights; 5, tiny 3")
    options.add_argument("--orders", type=int, help="how many orders of the rows, for each; 2")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows, queries = facts(4 if args.tiny else 16)
    recipe = Recipe(steps=40 if args.tiny else 150, batch_size=8, learning_rate=3e-3)
    texts = [row["prompt"] + row["completion"] for row in [*rows, *queries]]

    def attribute(seed, data_order):
        torch.manual_seed(seed)
        model, tokenizer = scratch_model(texts)
        trained = train(model, tokenize(rows, tokenizer), np.ones(len(rows)), data_order, recipe)
        return trace(LM(trained, tokenizer, "small"), rows, queries, args.method)

    seeds, orders = args.seeds or (3 if args.tiny else 5), args.orders or 2
    found = replicated(attribute, seeds=range(seeds), data_orders=range(orders))
    print(certainty_text(found, top=3))

    taught = np.repeat(np.eye(len(queries), dtype=bool), len(STATED), axis=1)  # which rows state what is asked
    sure = found.q_values <= 0.05
    print(
        f"\nOf the rows that state what is asked {sure[taught].mean():.0%} stand out, of all others {sure[~taught].mean():.0%}."
    )
    one, every = (np.argsort(-values, axis=1)[:, 0] for values in (found.runs.values[0], found.mean))
    first = [taught[np.arange(len(queries)), best].mean() for best in (one, every)]
    print(
        f"One of them comes first for {first[0]:.0%} of the questions by one training, for {first[1]:.0%} by the mean of all."
    )

    found.attribution(top=10).save(args.out / "mean.html")
    agreement = stability(found.runs.values, k=len(STATED))
    (args.out / "stability.html").write_text(stability_page(agreement), encoding="utf-8")
    print("Rank correlation of two trainings: {:.2f} ± {:.2f}".format(*agreement.mean("spearman")))
    print(f"pages: {args.out / 'mean.html'}, {args.out / 'stability.html'}")


if __name__ == "__main__":
    main()
