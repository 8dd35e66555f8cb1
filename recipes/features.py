"""Which features of a layer made the model say " Paris", and what does it say when one of them is held high?

    python recipes/features.py          # the embedded SmolLM2: some minutes of one core
    python recipes/features.py --tiny   # a small model from scratch, taught the same facts: seconds

A dictionary of sparse features is learnt from what one layer computes over sentences of countries, and over a few notes. Then
the features behind " Paris", with what they leave (the error term), beside two dictionaries that were not learnt: random
directions, and the numbers of the hidden states themselves. The strongest feature gets a page, and is held high while the model
is asked about another country. All is kept in the folder --out. The command line does the same:

    llmattr features train texts.jsonl --layer 15 --out features/dictionary
    llmattr components "The capital of France is" --completion " Paris" --parts features --dictionary features/dictionary
    llmattr features show features/dictionary 12 --data texts.jsonl --html feature.html
    llmattr features steer features/dictionary 12 "The capital of Italy is the city of" --to 40
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch

from llmattr import LM
from llmattr.components.build import attributed, component_ablation
from llmattr.components.features.activations import read_pieces
from llmattr.components.features.baselines import baseline
from llmattr.components.features.hook import Hook
from llmattr.components.features.looking import look
from llmattr.components.features.plan import Plan
from llmattr.components.features.steering import clamped
from llmattr.components.features.train import train
from llmattr.components.methods import METHODS
from llmattr.errors import LlmattrError
from llmattr.report.feature import page, text
from llmattr.report.ranking import ranking
from llmattr.retraining import Recipe
from llmattr.retraining.scratch import scratch_model
from llmattr.retraining.trainer import train as taught
from llmattr.text.rows import tokenize

DOCUMENTS = Path(__file__).parent / "documents"
SAID = ("The capital of {country} is the city of {capital}.", "In {country}, where the {people} live, one pays in {currency}.")
ASKED, OTHER = ("The capital of France is the city of", " Paris"), "The capital of Italy is the city of"
STRONGEST, TIMES = 5, 1  # features that are removed together; how high one is held, of its highest


def sentences(tiny):
    """What the layer is seen over: countries and their capitals, and the notes on a canal."""
    table = list(csv.DictReader((DOCUMENTS / "countries.csv").read_text(encoding="utf-8").splitlines()))
    notes = (DOCUMENTS / "panama_canal.md").read_text(encoding="utf-8").splitlines()
    if tiny:
        return [{"text": SAID[0].format(**row)} for row in table[:40]]
    facts = [said.format(**row) for row in table for said in SAID]
    return [{"text": said} for said in [*facts, *(line for line in notes if len(line) > 80)]]


def small_model(rows):
    """A model of two layers that has learnt the sentences by heart."""
    torch.manual_seed(0)
    model, tokenizer = scratch_model([row["text"] for row in rows])
    return LM(taught(model, tokenize(rows, tokenizer), np.ones(len(rows)), 0, Recipe(150, 8, 5e-3)), tokenizer, "tiny")


def next_words(lm, prompt):
    """The three likeliest tokens behind a prompt, with their probabilities."""
    with torch.no_grad():
        scores = lm.model(input_ids=torch.tensor([lm.tokenizer(prompt)["input_ids"]])).logits[0, -1].softmax(dim=-1)
    best = zip(*map(torch.Tensor.tolist, scores.topk(3)), strict=True)
    return ", ".join(f"{lm.tokenizer.decode([i]).strip()} {p:.2f}" for p, i in best)


def behind(lm, dictionary):
    """The features behind the completion, and a line: what is lost without the strongest together, and without the error."""
    query = {"prompt": ASKED[0], "completion": ASKED[1]}
    ablation = component_ablation(lm, query, parts="features", dictionary=dictionary)
    found = attributed(ablation, METHODS["leave-one-out"]())
    order = np.argsort(-found.values[0, :-1])[:STRONGEST]
    masks = np.ones((3, len(found.sources)), dtype=bool)
    masks[1, order], masks[2, -1] = False, False
    full, without, no_error = ablation(masks)[:, 0]
    said = f"FVU {found.run['dictionary']['fvu']:.2f}; without the {STRONGEST} strongest {without - full:+.2f} nats"
    return found, f"{dictionary.origin.name}: {said}, without the error term {no_error - full:+.2f}"


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="a small model from scratch, in seconds")
    options.add_argument("--model", default="smollm2", help="hub id, folder, or smollm2 (embedded)")
    options.add_argument("--layer", type=int, default=15, help="whose features, from 0; 0 with --tiny")
    options.add_argument("--out", type=Path, default=Path("features"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows, hook = sentences(args.tiny), Hook(0 if args.tiny else args.layer)
    (args.out / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    plan = Plan(64, 4, steps=300, batch=128) if args.tiny else Plan(512, 8, steps=1000, batch=256, learning_rate=2e-3)
    try:
        lm = small_model(rows) if args.tiny else LM.load(args.model)
        dictionary, quality = train(lm, rows, args.out / "dictionary", hook, plan)
        print(f"{plan.size} features; FVU {quality.fvu:.2f}, L0 {quality.l0:.1f}, dead {quality.dead:.0%} on held-out tokens\n")
        found, line = behind(lm, dictionary)
        print(ranking(found, STRONGEST), f"\npage: {found.save(args.out / 'behind.html')}\n\n{line}")
        for kind in ("random", "neurons"):
            print(behind(lm, baseline(dictionary, kind))[1])
        best = found.sources.metadata(int(found.values[0, :-1].argmax()))["number"]
        looked = look(lm, dictionary, best, read_pieces(lm, rows), 8)
        (args.out / "feature.html").write_text(page(looked, dictionary, lm), encoding="utf-8")
        print(f"\n{text(looked, dictionary)}\npage: {args.out / 'feature.html'}")
        with clamped(lm, dictionary, best, TIMES * looked.examples[0].highest):
            steered = next_words(lm, OTHER)
    except LlmattrError as error:
        options.error(str(error))
    print(f"\n{OTHER} ...\n    as it is:   {next_words(lm, OTHER)}\n    held high:  {steered}")


if __name__ == "__main__":
    main()
