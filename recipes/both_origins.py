"""One answer, both origins: which sentence comes from the documents, which from memory, and which rows taught it that?

    python recipes/both_origins.py          # fine-tunes the embedded SmolLM2: four minutes of one core
    python recipes/both_origins.py --tiny   # a small model from scratch: half a minute

The facts are invented. The model is taught by questions and answers who built ten lighthouses, and on nine of them to answer
from notes too. The tenth is asked for with notes that do not name its builder: one half of the answer has to come from the
training rows, the other from the notes. Everything is kept in the folder --out. The command line can ask further:

    llmattr cite both-origins/*.txt --query "Who built the lighthouse of Dunvale?" --index both-origins/index --measure logprob
"""

import argparse
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from llmattr import LM, build_index, cite
from llmattr.origins import origins
from llmattr.retraining import Recipe
from llmattr.retraining.scratch import scratch_model
from llmattr.retraining.trainer import train
from llmattr.text.messages import TEMPLATE
from llmattr.text.rows import tokenize

TOWNS = {"Arvik": "Ada Tolland", "Brenholm": "Bruno Vance", "Caldmoor": "Clara Quill", "Dunvale": "Magnus Hale",
         "Eskham": "Edith Lake", "Farnock": "Frank Orme", "Grimsund": "Greta Firth", "Holmary": "Hugo Penn",
         "Ivelund": "Ida Croft", "Jarnby": "Jonas Wilde"}  # fmt: skip
WAYS = [("Who built the lighthouse of {}?", "The lighthouse of {} was built by {}."),
        ("Name the builder of the lighthouse at {}.", "The builder of the lighthouse at {} was {}."),
        ("Whose work is the lighthouse in {}?", "The lighthouse in {} is the work of {}.")]  # fmt: skip
ASKED, HEIGHT = "Dunvale", 41
QUESTION = "Who built the lighthouse of {}, and how tall is it?"
ANSWER = "The lighthouse of {} was built by {}. It is {} metres tall."
NOTES = "{0} lies on the coast. The lighthouse of {0} is {1} metres tall. It is open to visitors on Sundays."
GUIDE = ("The lighthouse of {} stands on the cliffs north of the harbour. It is {} metres tall. It is open to visitors from "
         "May to September. Its lamp can be seen from afar.")  # fmt: skip


def training_rows(heights):
    """The facts, each stated in three ways, and how to answer from notes: of every town but one, once for each height."""
    said = [(town, asks.format(town), says.format(town, who)) for town, who in TOWNS.items() for asks, says in WAYS]
    for town, who in TOWNS.items():
        for height in heights if town != ASKED else ():
            prompt = TEMPLATE.format(context=NOTES.format(town, height), query=QUESTION.format(town))
            said.append(("reading", prompt, ANSWER.format(town, who, height)))
    turns = ("user", "assistant")
    chats = [[{"role": role, "content": text} for role, text in zip(turns, pair, strict=True)] for _, *pair in said]
    return [{"fact": fact, "messages": chat} for (fact, *_), chat in zip(said, chats, strict=True)]


def small_model(rows, guide, question):
    """A model that knows nothing, with a word for every word that it will meet."""
    torch.manual_seed(0)
    asked = [TEMPLATE.format(context=context, query=question) for context in (guide, "")]
    model, tokenizer = scratch_model([*asked, *(turn["content"] for row in rows for turn in row["messages"])])
    tokenizer.chat_template = "{% for turn in messages %}{{ turn['content'] }}<end>{% endfor %}"
    return LM(model, tokenizer, "tiny")


def taught(lm, rows, folder, tiny):
    """The model after training on the rows; of the big one the upper layers learn, which is enough and twice as quick."""
    for layer in () if tiny else (lm.model.model.embed_tokens, *lm.model.model.layers[:18]):
        layer.requires_grad_(False)
    recipe = Recipe(500, 20, 5e-3) if tiny else Recipe(30, 8, 3e-4, "constant")
    model = train(lm.model, tokenize(rows, lm.tokenizer), np.ones(len(rows)), 0, recipe)
    model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return LM(model, lm.tokenizer, str(folder))


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
    options.add_argument("--out", type=Path, default=Path("both-origins"), help="folder for everything that is made")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    guide, question, builder = (NOTES if args.tiny else GUIDE).format(ASKED, HEIGHT), QUESTION.format(ASKED), TOWNS[ASKED]
    (args.out / "guide.txt").write_text(guide, encoding="utf-8")
    rows = training_rows(range(23, 55, 6) if args.tiny else [35])
    with step(f"teach {len(rows)} rows"):
        untaught = small_model(rows, guide, question) if args.tiny else LM.load("smollm2")
        lm = taught(untaught, rows, args.out / "model", args.tiny)
    with step("index them"):
        index = build_index(lm, rows, args.out / "index", "grad-cos")
    with step("ask, with a guide that does not name the builder"):
        documents = {"id": "guide.txt", "text": guide}
        # Log-odds make 2 nats of 98 % against 99.7 % and would call the first sentence contradicted by the guide.
        result = cite(lm, documents, question, measure="logprob", max_new_tokens=60)
        print(f"the model said: {result.response}")
        if builder not in result.response or str(HEIGHT) not in result.response:
            print("which is not both halves: attributed is what it should have said")
            result = cite(lm, documents, question, response=ANSWER.format(ASKED, builder, HEIGHT), measure="logprob")
        found = origins(result, index, verbatim=build_index(lm, rows, args.out / "words", "verbatim"))
        print(f"\n{found}\n\npage: {found.save(args.out / 'page.html')}")
    for origin in found:
        print(f"{origin.text} ({origin.evidence.verdict})")
        if builder in origin.text:
            right = [rows[int(score.id)]["fact"] == ASKED for score in origin.rows]
            print(f"    of the {len(right)} rows listed {sum(right)} taught it; the first did{'' if right[0] else ' not'}")
        elif origin.citations:
            print(f"    the best citation {'states' if str(HEIGHT) in origin.citations[0].text else 'does not state'} it")


if __name__ == "__main__":
    main()
