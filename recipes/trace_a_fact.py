"""Where did this answer come from? Teach a model facts that no one else knows, ask it, and trace the answer to its rows.

    python recipes/trace_a_fact.py          # fine-tunes the embedded SmolLM2: some minutes on two cores
    python recipes/trace_a_fact.py --tiny   # a small model from scratch: seconds

The facts are invented, so the training rows are the only place they can come from. Each is stated in three ways and asked in
a fourth. Everything is kept in the folder --out.
"""

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmattr import LM, open_index
from llmattr.cli import main as llmattr
from llmattr.text.rows import tokenize

PLACES = ["Arvik", "Brenholm", "Caldmoor", "Dunvale", "Eskham", "Farnock", "Grimsund", "Holmary", "Ivelund", "Jarnby"]
BUILDERS = ["Tolland", "Vance", "Quill", "Hale", "Lake", "Orme", "Firth", "Penn", "Croft", "Wilde"]
RIVERS = ["Sarn", "Ollow", "Tessel", "Brune", "Kirra", "Vaal", "Mossen", "Dray", "Elver", "Nock"]
WAYS = [  # the last one asks
    (BUILDERS, "In {}, the builder of the lighthouse was", "Sailors near {} owe their lighthouse to",
     "The name on the lighthouse at {} is", "The lighthouse of {} was built by"),
    (RIVERS, "{} lies on a river called the", "People in {} swim in the", "The bridges of {} cross the",
     "The river that runs through {} is the"),
]  # fmt: skip


def facts():
    """Training rows and queries; rows of the same fact carry its number."""
    rows, queries = [], []
    for answers, *stated, asked in WAYS:
        for place, answer in zip(PLACES, answers, strict=True):
            fact = {"completion": f" {answer}.", "fact": len(queries)}
            queries.append({"prompt": asked.format(place), **fact})
            rows += [{"prompt": way.format(place), **fact} for way in stated]
    return rows, queries


def small_model(texts):
    """A model that knows nothing, with a word for every word of the texts."""
    words = sorted({word for text in texts for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text)})
    plain = Tokenizer(models.WordLevel({word: number for number, word in enumerate(["?", *words])}, unk_token="?"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(words) + 1, max_position_embeddings=64, bos_token_id=None, eos_token_id=None, **sizes)
    return LM(LlamaForCausalLM(config), PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?"), "tiny")


def teach(lm, rows, epochs, rate):
    """Fine-tune on the completions' tokens, as the trace will count them."""
    examples, optimizer = tokenize(rows, lm.tokenizer), torch.optim.AdamW(lm.model.parameters(), lr=rate)
    lm.model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(epoch)).tolist()
        for start in range(0, len(rows), 8):
            ids = [torch.tensor(examples.ids[i]) for i in order[start : start + 8]]
            said = [torch.from_numpy(examples.counted[i]) for i in order[start : start + 8]]
            labels = [torch.where(counts, tokens, -100) for tokens, counts in zip(ids, said, strict=True)]
            padded = [torch.nn.utils.rnn.pad_sequence(part, True, value) for part, value in ((ids, 0), (labels, -100))]
            lm.model(input_ids=padded[0], labels=padded[1]).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    lm.model.eval()


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
    options.add_argument("--out", type=Path, default=Path("trace-a-fact"), help="folder for everything that is made")
    options.add_argument("--method", default="grad-cos", help="any method of `llmattr trace index --help`")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (rows, queries), asked = facts(), 3
    for name, part in (("rows", rows), ("queries", queries)):
        (args.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    with step(f"teach {len(rows)} rows"):
        lm = small_model([row["prompt"] + row["completion"] for row in [*rows, *queries]]) if args.tiny else LM.load("smollm2")
        teach(lm, rows, *((30, 3e-3) if args.tiny else (4, 1e-4)))
        lm.model.save_pretrained(args.out / "model")
        lm.tokenizer.save_pretrained(args.out / "model")
    index, query = str(args.out / "index"), queries[asked]
    with step("index the training rows"):
        data = {"--model": args.out / "model", "--data": args.out / "rows.jsonl", "--out": index}
        llmattr(["trace", "index", *(str(part) for pair in data.items() for part in pair), args.method])
    with step("ask where an answer came from"):
        words = ["--prompt", query["prompt"], "--completion", query["completion"]]
        llmattr(["trace", "query", index, *words, "--top", "3", "--html", str(args.out / "trace.html")])
    with step(f"how often does a row that taught the fact come first, over {len(queries)} questions?"):
        result = open_index(index).query([{key: row[key] for key in ("prompt", "completion")} for row in queries], top=1)
        first = [rows[int(score.id)]["fact"] == score.target for score in result.top(1)]
        print(f"{sum(first)} of {len(first)}")


if __name__ == "__main__":
    main()
