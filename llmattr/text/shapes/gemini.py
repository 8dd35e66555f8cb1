"""Google's Gemini API: a candidate with `groundingMetadata`, whose segments count UTF-8 bytes of a part, ends exclusive.

Names as on the wire; those of its package (google-genai 3.6: `grounding_metadata` ...) are read, too. `confidenceScores` are
shares from 0 to 1: our scores are no such thing, and stand in `partMetadata`.
"""

import re
from typing import Any

from llmattr.text.shapes.cited import Cited, Quote
from llmattr.text.shapes.marked import Claim, Marker
from llmattr.text.shapes.units import UTF8, offset


def write(cited: Cited) -> dict[str, Any]:
    """A candidate with its content and what that is grounded in: a chunk a source."""
    chunks = list(dict.fromkeys(quote for sentence in cited.citing for quote in sentence.quotes))
    supports = []
    for sentence in cited.citing:
        start, end = (offset(cited.answer, place, UTF8) for place in (sentence.start, sentence.end))
        segment = {"partIndex": 0, "startIndex": start, "endIndex": end, "text": cited.answer[sentence.start : sentence.end]}
        supports.append({"segment": segment, "groundingChunkIndices": [chunks.index(quote) for quote in sentence.quotes]})
    part = {"text": cited.answer, "partMetadata": {"llmattr": cited.record}}
    grounding = {"groundingChunks": [*map(_chunk, chunks)], "groundingSupports": supports}
    return {"content": {"role": "model", "parts": [part]}, "groundingMetadata": grounding}


def _chunk(quote: Quote) -> dict[str, Any]:
    known = {"title": quote.name, "uri": quote.url or quote.id, "text": quote.text}
    return {"retrievedContext": known | ({} if quote.pages is None else {"pageNumber": quote.pages[0]})}


def read(given: Any) -> tuple[list[str], list[Claim]] | None:
    """A response (its first candidate) or a candidate; None for what is neither."""
    given = _camel(given)
    if isinstance(given, dict) and given.get("candidates"):
        given = given["candidates"][0]
    if not (isinstance(given, dict) and isinstance(given.get("content"), dict) and "parts" in given["content"]):
        return None
    grounding, claims = given.get("groundingMetadata") or {}, []
    for support in grounding.get("groundingSupports") or ():
        one = support["segment"]
        place = (one.get("startIndex") or 0, one["endIndex"], one.get("text"))  # a 0 is left out on the wire
        markers = [_marker(grounding.get("groundingChunks") or [], i) for i in support.get("groundingChunkIndices") or ()]
        claims += [Claim(one.get("partIndex") or 0, marker, *place) for marker in markers]
    return ["" if part.get("thought") else part.get("text") or "" for part in given["content"]["parts"]], claims


def _marker(chunks: list[dict[str, Any]], index: int) -> Marker:
    kinds = chunks[index].values() if 0 <= index < len(chunks) else ()
    inner: dict[str, Any] = next((kind for kind in kinds if kind), {"title": f"chunk {index}"})
    return Marker(title=inner.get("title"), key=inner.get("uri"), quote=inner.get("text"), page=inner.get("pageNumber"))


def _camel(given: Any) -> Any:
    """Its names as on the wire."""
    if isinstance(given, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), name): _camel(value) for name, value in given.items()}
    return [_camel(one) for one in given] if isinstance(given, list) else given
