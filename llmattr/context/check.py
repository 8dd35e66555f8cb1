"""`check`: are the citations right that an answer already carries?"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import regex
from jaxtyping import Float

from llmattr.context.checked import Check
from llmattr.context.standing import CheckedMarker, Sentence, Support, best_passage, clauses, of_sentences, standing
from llmattr.core.evidence import MISSING, Verdict
from llmattr.core.sources import Sources
from llmattr.core.versions import versions
from llmattr.errors import LlmattrError, check_text, note
from llmattr.text import split
from llmattr.text.documents import Context
from llmattr.text.messages import TEMPLATE, conversation
from llmattr.text.names import Name, missing
from llmattr.text.own_words import own_words, stated
from llmattr.text.prompt import cut
from llmattr.text.refusals import refuses
from llmattr.text.shapes import Marked, read

UNASKED = "Context: {context}\n\nState a fact from the context."  # the prompt where nobody says what was asked
# Of the words of a sentence that two neighbouring sentences of a document have, the mean of all and of those that it adds to
# the question; `MISSING` more where the document lacks a name or number.
WORDED = 0.4
_WITHOUT_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")  # numbers are compared


def check(
    model: object,
    answer: object,
    context: Context | None = None,
    query: str | None = None,
    *,
    shape: str | None = None,
    names: object = None,
    language: object = None,
    cache: str | Path | None = None,
) -> Check:
    """Whether each marker of an answer holds, and which sentence lacks one.

    `model`: as in `cite`; None: by words, names and numbers alone, without a model. `answer`: a text with marks ([1], [2,3],
    [^1] ...), or a vendor's response (`shape`, see `llmattr.text.shapes.read`). `context`: the documents that it could cite, in
    the order of their numbers; None: what the answer itself has of them. `query`: what was asked. `names`: which document
    "Doe 2020" is.

    A document supports a sentence when the sentence would be from the context by the rule of `core.evidence`, were that
    document the whole context: 2 d + 2 passes for d documents. Without a model: when two neighbouring sentences of it have
    `WORDED` of its words (the mean of all and of those that it adds to the question), and `MISSING` more where the document has
    not all its names and numbers.
    Raises `LlmattrError` for what the user can mend.
    """
    started = time.perf_counter()
    language = None if language is None else check_text(language, "the language")
    marked = read(answer, shape, documents=context, names=names)
    if not any(document.text.strip() for document in marked.documents):
        raise LlmattrError("there are no documents with text: give those that the answer could cite")
    if not marked.answer.strip():
        raise LlmattrError("the answer is empty: there is nothing to check")
    chat = conversation(marked.documents, query, template=UNASKED if query is None else TEMPLATE)
    parts = cut(chat, "sentences", language)
    if model is None:
        spans, sentences = _by_words(marked, parts, query or "", language)
        run: dict[str, Any] = {"method": "words"}
    else:
        from llmattr.context.behind import by_model  # with torch, which words alone do not need

        spans, sentences, run = by_model(model, marked, (chat, parts), cache)
    if not marked.markers:
        note("the answer has no markers: what each sentence lacks is said")
    markers = [
        CheckedMarker(marker, t, standing(marker.document, sentences[t]))
        for marker, stands in zip(marked.markers, of_sentences(marked, spans), strict=True)
        for t in stands
    ]
    run |= {"query": query, "seconds": time.perf_counter() - started, **versions()}
    return Check(marked, tuple(sentences), tuple(markers), run)


def _by_words(marked: Marked, parts: Sources, query: str, language: str | None) -> tuple[list[tuple[int, int]], list[Sentence]]:
    """Each sentence held against each document by words, names and numbers."""
    cuts = split.cut(marked.answer, "sentences", "answer", language)
    said = [(int(a), int(b)) for a, b in (cuts.spans[cuts.quotable] if cuts.quotable.any() else cuts.spans)]
    spans, neighbours = clauses(marked, said), _neighbours(parts)
    sentences = []
    for start, end in spans:
        text = marked.answer[start:end]
        shares = np.mean([stated(own_words(text, told), neighbours) for told in ("", query)], axis=0)
        best = stated(own_words(text, query), parts.texts)
        lacking = [_lacking(marked, d, text, query) for d in range(len(marked.documents))]
        supports = tuple(_worded(parts, d, (shares, best), lacking[d], start) for d in range(len(marked.documents)))
        verdict: Verdict = "context" if any(one.holds for one in supports) else "unsupported"
        sentences.append(Sentence(start, end, "refusal" if refuses(text, query) else verdict, supports))
    texts = [marked.answer[one.start : one.end] for one in sentences if all(of.stated is None for of in one.supports)]
    if unread := sum(_WITHOUT_SPACES.search(text) is not None for text in texts):
        note(f"{unread} of {len(sentences)} sentences have no words to compare, in a script without spaces: ask a model")
    return spans, sentences


def _neighbours(parts: Sources) -> list[str]:
    """Each source with the one behind it in its document: "It opened in 1914." says it of what is named before."""
    assert parts.groups is not None  # sources cut from documents have them
    behind = [*parts.texts[1:], ""]
    same = [*(parts.groups[1:] == parts.groups[:-1]), False]
    return [f"{one} {after}" if together else one for one, after, together in zip(parts.texts, behind, same, strict=True)]


def _lacking(marked: Marked, document: int, text: str, query: str) -> list[Name]:
    """The names and numbers of a sentence that a document has not, nor the question."""
    one = marked.documents[document]
    return missing(text, [part for part in (one.title, one.text) if part], query)


def _worded(
    parts: Sources,
    document: int,
    shares: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]],
    lacking: list[Name],
    start: int,
) -> Support:
    """What a document does for a sentence by words alone: the `shares` of neighbours decide, each source's choose a quote."""
    share, quote = best_passage(parts, document, shares[0])[0], best_passage(parts, document, shares[1])[1]
    holds = share is not None and share >= WORDED + (MISSING if lacking else 0.0)
    decided = not holds and share is not None and share >= WORDED
    spans = tuple((start + one.start, start + one.end) for one in lacking)
    because = "a name or number" if decided else "words"
    return Support(document, "context" if holds else "unsupported", because, stated=share, missing=spans, quote=quote)
