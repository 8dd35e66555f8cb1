"""Which attention heads know where the Eiffel Tower is, and what does the model say without them?

    python recipes/heads.py          # the embedded SmolLM2: three minutes of one core
    python recipes/heads.py --tiny   # a small model from scratch, taught the same facts: seconds

First the heads behind " Paris" after "The Eiffel Tower is in the city of", with a page: a map of layers and heads. Then an
edit: heads that carry what is said of this tower, and not what is said of other places, are removed from the weights, and the
model is saved without them, with what else that changed. All is kept in the folder --out. The command line does the same:

    llmattr components "The Eiffel Tower is in the city of" --completion " Paris" --html heads.html
    llmattr edit --targets tower.jsonl --reference places.jsonl --text notes.jsonl --out edited
"""

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from llmattr import LM
from llmattr.components.build import attribute
from llmattr.components.edit import edit
from llmattr.errors import LlmattrError
from llmattr.report.edit import text as report
from llmattr.report.ranking import ranking
from llmattr.retraining import Recipe
from llmattr.retraining.scratch import scratch_model
from llmattr.retraining.trainer import train
from llmattr.text.rows import tokenize

PROMPT = "The {} is in the city of"
ASKED = "Eiffel Tower"
WAYS = [PROMPT, "The {} is located in the city of", "The {} stands in the centre of", "To see the {}, tourists travel to"]
PLACES = {"Colosseum": "Rome", "Brandenburg Gate": "Berlin", "Statue of Liberty": "New York", "Acropolis": "Athens",
          "Kremlin": "Moscow", "Golden Gate Bridge": "San Francisco"}  # fmt: skip
CAPITALS = {"Spain": "Madrid", "Egypt": "Cairo", "France": "Paris", "Japan": "Tokyo"}
NOTES = Path(__file__).parent / "documents" / "panama_canal.md"


def facts():
    """What is to change, and what is to stay: rows with a prompt and its completion."""
    tower = [{"prompt": way.format(ASKED), "completion": " Paris"} for way in WAYS]
    places = [{"prompt": PROMPT.format(place), "completion": f" {city}"} for place, city in PLACES.items()]
    return tower, [
        *places,
        *({"prompt": f"The capital of {land} is", "completion": f" {city}"} for land, city in CAPITALS.items()),
    ]


def small_model(rows, notes):
    """A model of two layers that has learnt the rows by heart."""
    torch.manual_seed(0)
    model, tokenizer = scratch_model([row["prompt"] + row["completion"] for row in rows] + [row["text"] for row in notes])
    return LM(train(model, tokenize(rows, tokenizer), np.ones(len(rows)), 0, Recipe(150, 7, 5e-3)), tokenizer, "tiny")


def next_words(lm, prompt):
    """The three likeliest tokens behind a prompt, with their probabilities."""
    with torch.no_grad():
        scores = lm.model(input_ids=torch.tensor([lm.tokenizer(prompt)["input_ids"]])).logits[0, -1].softmax(dim=-1)
    best = scores.topk(3)
    return ", ".join(
        f"{lm.tokenizer.decode([i]).strip()} {p:.2f}" for p, i in zip(*map(torch.Tensor.tolist, best), strict=True)
    )


@contextmanager
def step(what):
    """Say what is done, and how long it took."""
    print(f"\n== {what}", flush=True)
    started = time.perf_counter()
    yield
    print(f"== {time.perf_counter() - started:.1f} s", flush=True)


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="a small model from scratch, in seconds")
    options.add_argument("--model", default="smollm2", help="hub id, folder, or smollm2 (embedded)")
    options.add_argument("--count", type=int, default=20, help="heads to remove, at most")
    options.add_argument("--max-drift", type=float, default=1.0, help="nats that places and notes may drift by on average")
    options.add_argument("--out", type=Path, default=Path("heads"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tower, places = facts()
    notes = [{"text": line} for line in NOTES.read_text(encoding="utf-8").splitlines() if len(line) > 80][:8]
    for name, rows in {"tower": tower, "places": places, "notes": notes}.items():
        (args.out / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    try:
        lm = small_model([*tower, *places], notes) if args.tiny else LM.load(args.model)
        with step("the heads behind it"):
            heads = attribute(lm, tower[0])
            print(f"{ranking(heads, 5)}\npage: {heads.save(args.out / 'heads.html')}")
        with step("a model without those that carry it"):
            made = edit(lm, tower, places, args.out / "edited", count=args.count, text=notes, max_drift=args.max_drift)
            print(f"{report(made)}\nsaved: {args.out / 'edited'}")
    except LlmattrError as error:
        options.error(str(error))
    edited = LM.load(args.out / "edited")
    for prompt in (tower[0]["prompt"], places[0]["prompt"], places[-2]["prompt"]):
        print(f"\n{prompt} ...\n    before: {next_words(lm, prompt)}\n    after:  {next_words(edited, prompt)}")


if __name__ == "__main__":
    main()
