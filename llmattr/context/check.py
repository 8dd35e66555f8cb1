"""`check`: are the citations right that an answer already carries?"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmattr.context.checked import Check
from llmattr.context.entailing import load_judge
from llmattr.context.standing import CheckedMarker, of_sentences, reaching, standing
from llmattr.context.worded import by_words
from llmattr.core.versions import versions
from llmattr.errors import LlmattrError, check_text, note
from llmattr.text.answered import answered
from llmattr.text.documents import Context
from llmattr.text.forms import plain_tools
from llmattr.text.messages import TEMPLATE, conversation
from llmattr.text.prompt import cut
from llmattr.text.shapes import read

UNASKED = "Context: {context}\n\nState a fact from the context."  # the prompt where nobody says what was asked


def check(
    model: object,
    answer: object = None,
    context: Context | None = None,
    query: str | None = None,
    *,
    messages: Sequence[Mapping[str, Any]] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    shape: str | None = None,
    names: object = None,
    language: object = None,
    judge: str | None = None,
    cache: str | Path | None = None,
) -> Check:
    """Whether each marker of an answer holds, and which sentence lacks one.

    `model`: as in `cite`; None: by words, names and numbers alone, without a model. `answer`: a text with marks ([1], [2,3],
    [^1] ...), a vendor's response (`shape`, see `llmattr.text.shapes.read`), or an answer with its documents, as LlamaIndex,
    Haystack and chains of LangChain return it. `context`: the documents that it could cite, in the order of their numbers;
    None: what the answer itself has of them. `query`: what was asked. `messages`: a chat in place of the query, whose last turn
    is the answer where none is given, with what that could cite: documents marked in it, or the context that stands there, or
    what tools returned (`llmattr.text.answered`). It is the prompt; `tools`: those that the model could call. `names`: which
    document "Doe 2020" is. `judge`: a hub id or folder of an entailment model, whose word counts with the others.

    A document supports a sentence when the sentence would be from the context by the rule of `core.evidence`, were that
    document the whole context: 2 d + 2 passes for d documents. Without a model: when two neighbouring sentences of it have
    `WORDED` of its words (the mean of all and of those that it adds to the question), and `MISSING` more where the document has
    not all its names and numbers. A judge adds what it is surer than even (`evidence.judged`).
    Raises `LlmattrError` for what the user can mend.
    """
    started = time.perf_counter()
    language = None if language is None else check_text(language, "the language")
    asking, chat = query, None
    if messages is not None:
        if query is not None:
            raise LlmattrError("the query is in the messages, the user's last turn: give no other beside them")
        answer, chat, context, asking = answered(messages, answer, context)
    elif answer is None:
        raise LlmattrError("there is no answer: give one, or messages that end with it")
    marked = read(answer, shape, documents=context, names=names)
    if not any(document.text.strip() for document in marked.documents):
        raise LlmattrError("there are no documents with text: give those that the answer could cite")
    if not marked.answer.strip():
        raise LlmattrError("the answer is empty: there is nothing to check")
    chat = chat or conversation(marked.documents, query, template=UNASKED if query is None else TEMPLATE)
    parts, judging = cut(chat, "sentences", language), load_judge(judge)
    if model is None:
        spans, sentences = by_words(marked, parts, asking or "", language, judging)
        run: dict[str, Any] = {"method": "words"}
    else:
        from llmattr.context.behind import by_model  # with torch, which words alone do not need

        spans, sentences, run = by_model(model, marked, (chat, parts, plain_tools(list(tools))), judging, cache)
    if sentences and not marked.markers:
        note("the answer has no markers: what each sentence lacks is said")
    stood = reaching(marked, sentences, of_sentences(marked, spans))
    markers = [
        CheckedMarker(marker, t, standing(marker.document, sentences[t]))
        for marker, stands in zip(marked.markers, stood, strict=True)
        for t in stands
    ]
    run |= {"judge": judge} if judge is not None else {}
    run |= {"query": asking, "seconds": time.perf_counter() - started, **versions()}
    return Check(marked, tuple(sentences), tuple(markers), run)
