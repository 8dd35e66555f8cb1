"""Cohere's chat (v2): a message with `citations`, `start` and `end` in code points of its text, ends exclusive.

Types of the package cohere 7.3; what v1 returned (`text`, `documents`, `document_ids`) is read, too.
"""

import re
from typing import Any

from llmattr.text.shapes.cited import Cited, Quote
from llmattr.text.shapes.marked import Claim, Marker

TEXTS = ("snippet", "text", "content", "data")  # where a document has what it says


def write(cited: Cited) -> dict[str, Any]:
    """The assistant's message."""
    citations = []
    for one in cited.citing:
        sources = [{"type": "document", "id": quote.id, "document": _document(quote)} for quote in one.quotes]
        place = {"start": one.start, "end": one.end, "text": cited.answer[one.start : one.end]}
        citations.append({**place, "sources": sources, "content_index": 0, "type": "TEXT_CONTENT"})
    content = [{"type": "text", "text": cited.answer}]
    return {"role": "assistant", "content": content, "citations": citations, "llmattr": cited.record}


def _document(quote: Quote) -> dict[str, Any]:
    known = {"id": quote.id, "title": quote.title, "url": quote.url, "page": quote.pages and quote.pages[0]}
    return {**{name: value for name, value in known.items() if value is not None}, "snippet": quote.text}


def read(given: Any) -> tuple[list[str], list[Claim]] | None:
    """A response or its message; None for what is neither."""
    if isinstance(given, dict) and isinstance(given.get("message"), dict):
        given = given["message"]
    match given:
        case {"citations": [*citations], "text": str(text)}:
            content = [{"type": "text", "text": text}]
        case {"citations": [*citations], "content": [*content]}:
            pass
        case _:
            return None
    texts = [item["text"] if item.get("type") == "text" else "" for item in content]
    written = [part for part, text in enumerate(texts) if text]
    by_id = {document.get("id"): document for document in given.get("documents") or ()}
    claims = []
    for one in citations:
        if one.get("type") in ("THINKING_CONTENT", "PLAN"):
            continue
        part = one.get("content_index") or 0
        part = part if part in written else next(iter(written), 0)  # an index of 0 is said where thoughts come first, too
        place = (one.get("start") or 0, one["end"], one.get("text"))
        sources = one.get("sources") or [{"id": name, "document": by_id.get(name)} for name in one.get("document_ids") or ()]
        claims += [Claim(part, _marker(source), *place) for source in sources]
    return texts, claims


def _marker(source: dict[str, Any]) -> Marker:
    """Of a document or a tool's output; those without ids are called doc:0, doc:1 ... in the order of the request."""
    key, known = source.get("id"), source.get("document") or source.get("tool_output") or {}
    quote = next((str(known[name]) for name in TEXTS if known.get(name)), None)
    ordered = re.fullmatch(r"doc[:_](\d+)", key or "")
    number = int(ordered[1]) + 1 if ordered else None
    return Marker(number=number, title=known.get("title"), key=key, quote=quote, page=known.get("page"))
