"""Which of the retrieved documents did the answer need? A chat, a search for its last question, an answer, and its sources.

    python recipes/cite_rag.py          # the embedded SmolLM2: about a minute of one core
    python recipes/cite_rag.py --tiny   # random weights, under ten seconds; only to see that everything runs

The last question ("And how tall is it?") only has a meaning with what was said before, so the chat's history stays in the
prompt, and the search is for all that the user asked. Own documents: --documents FILE with rows {"id", "title", "text"}.
"""

import argparse
import json
from pathlib import Path

import bm25s
import torch

from llmattr import LM, LlmattrError, cite
from llmattr.retraining.scratch import scratch_model

DOCUMENTS = Path(__file__).parent / "documents" / "landmarks.jsonl"
SYSTEM = "Answer the question from these documents.\n\n{context}"
HISTORY = [
    {"role": "user", "content": "When was the Eiffel Tower completed?"},
    {"role": "assistant", "content": "The Eiffel Tower was completed in 1889."},
]
TINY_ANSWER = "The tower is 330 metres tall."  # random weights have nothing to say


def tiny_model(texts):
    """Random weights, wide enough that every word of the context changes the answer a little."""
    torch.manual_seed(0)
    model, tokenizer = scratch_model(texts)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    return LM(model, tokenizer, "tiny")


def retrieve(documents, query, k):
    """The k documents (title and text) with the highest BM25 scores for the query, best first."""
    texts = [f"{document['title']} {document['text']}" for document in documents]
    engine = bm25s.BM25()
    engine.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    asked = bm25s.tokenize(query, stopwords="en", show_progress=False)
    found, scores = engine.retrieve(asked, corpus=documents, k=min(k, len(documents)), show_progress=False)
    return list(zip(found[0], scores[0], strict=True))


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="random weights, in seconds")
    options.add_argument("--out", type=Path, default=Path("cite-rag"), help="folder for everything that is made")
    options.add_argument("--documents", type=Path, default=DOCUMENTS, help='JSON lines with "id", "title" and "text"')
    options.add_argument("--question", default="And how tall is it?", help="the last question of the chat")
    options.add_argument("--k", type=int, default=4, help="how many documents are retrieved")
    options.add_argument("--model", default="smollm2", help="hub id, local folder, or smollm2")
    args = options.parse_args()
    try:
        documents = [json.loads(line) for line in args.documents.read_text(encoding="utf-8").splitlines() if line.strip()]
        args.out.mkdir(parents=True, exist_ok=True)
        chat = [*HISTORY, {"role": "user", "content": args.question}]
        asked = " ".join(turn["content"] for turn in chat if turn["role"] == "user")
        retrieved = retrieve(documents, asked, args.k)
    except (OSError, ValueError, KeyError, TypeError) as error:
        options.exit(2, f"error: cannot use {args.documents} ({error}): rows must have id, title and text\n")

    print(f"Retrieved for {asked!r}:")
    for document, score in retrieved:
        print(f"   {score:5.2f}  {document['id']}")

    # The documents go where {context} stands, each under its title; a document that is removed goes with its title.
    messages = [{"role": "system", "content": SYSTEM}, *chat]
    context = [document for document, _ in retrieved]
    known = [SYSTEM, TINY_ANSWER, *(json.dumps(part) for part in [*documents, *chat])]
    try:
        lm, response = (tiny_model(known), TINY_ANSWER) if args.tiny else (LM.load(args.model), None)
        how = {"messages": messages, "cache": args.out / "ablations"}
        result = cite(lm, context, response=response, **how)
        # The documents themselves as sources, removed one at a time: exact, and only as many passes as documents.
        how |= {"response": result.response, "sources": "documents", "method": "leave-one-out"}
        removed = cite(lm, context, **how)
    except LlmattrError as error:
        options.exit(2, f"error: {error}\n")

    print(f"\nuser: {args.question}\nassistant: {result.response}\n\nBy sentence, in nats of log-odds:")
    for target in range(1, len(result)):  # target 0 is the whole answer
        evidence = result.evidence.targets[target]
        print(f"{result.targets.texts[target].strip()}  [{evidence.verdict}, support {evidence.support:+.2f}]")
        for score in result[target].top(3):
            aside = "" if score.cited else " (not cited)"
            print(f"   {score.score:+6.2f} ±{score.stderr or 0:.2f}  {score.id}: {score.text}{aside}")

    print("\nBy document, of the whole answer: the sum of its sentences' scores, and what is lost without the document")
    sums = {score.id: score.score for score in result.by_document()[0].top(None)}
    for score in removed[0].top(None):
        print(f"   {sums[score.id]:+6.2f}  {score.score:+6.2f}  {score.id}")

    # Not what is cited: that is the best alone. Needed is whatever the answer loses something without.
    needed = {score.id for score in removed[0].top(None) if removed.clear[0, score.source] and score.score > 0}
    spare = [document["id"] for document in context if document["id"] not in needed]
    print(f"\nRetrieved, but the answer did not need it: {', '.join(spare) or 'none'}.")
    if spare and needed:  # two that say the same are each spare, but not both: so take all the spare ones away at once
        less = cite(lm, [document for document in context if document["id"] in needed], **how)
        before, after = (one.evidence.targets[0] for one in (result, less))
        print(f"Log-odds of the answer: {before.full:+.2f}; without these {after.full:+.2f}; without any {before.empty:+.2f}.")
    print(f"\npage: {result.save(args.out / 'answer.html')}; beside it {result.save(args.out / 'answer.json').name}")


if __name__ == "__main__":
    main()
