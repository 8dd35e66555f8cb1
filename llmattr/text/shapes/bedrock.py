"""Amazon Bedrock's Converse: `citationsContent` with `documentChar` or `documentPage`, which count as Anthropic's do.

Service model of botocore 1.44. What a knowledge base returns (`RetrieveAndGenerate`) is read, too. A block has no room for our
numbers: they stand in `additionalModelResponseFields`.
"""

from typing import Any

from llmattr.text.shapes.cited import Cited, Quote
from llmattr.text.shapes.marked import Claim, Marker


def write(cited: Cited) -> dict[str, Any]:
    """A response; what only the service knows (stopReason, usage, metrics) is left out."""
    message = {"role": "assistant", "content": [_block(text, quotes) for text, quotes in cited.blocks]}
    return {"output": {"message": message}, "additionalModelResponseFields": {"llmattr": cited.record}}


def _block(text: str, quotes: tuple[Quote, ...]) -> dict[str, Any]:
    if not quotes:
        return {"text": text}
    return {"citationsContent": {"content": [{"text": text}], "citations": [*map(_citation, quotes)]}}


def _citation(quote: Quote) -> dict[str, Any]:
    start, end = quote.pages or (quote.start, quote.end)
    kind = "documentChar" if quote.pages is None else "documentPage"
    location = {kind: {"documentIndex": quote.document, "start": start, "end": end}}
    return {"title": quote.name, "source": quote.url or quote.id, "sourceContent": [{"text": quote.text}], "location": location}


def read(given: Any) -> tuple[list[str], list[Claim]] | None:
    """A response, a message or its blocks; None for what is none of them."""
    match given:
        case {"output": {"message": {"content": [*blocks]}}} | {"content": [*blocks]} | [*blocks]:
            if not blocks or any(not isinstance(block, dict) or "type" in block for block in blocks):
                return None
            cited = [block.get("citationsContent") or {"content": [{"text": block.get("text")}]} for block in blocks]
            claims = [Claim(part, _marker(one)) for part, block in enumerate(cited) for one in block.get("citations") or ()]
            return [_text(block.get("content")) for block in cited], claims
        case {"output": {"text": str(text)}, "citations": [*citations]}:
            return [text], [claim for one in citations for claim in _retrieved(one)]
    return None


def _text(parts: Any) -> str:
    return "".join(part.get("text") or "" for part in parts or ())


def _marker(one: dict[str, Any]) -> Marker:
    kind, place = next(iter((one.get("location") or {"": {}}).items()))
    number = place.get("documentIndex", place.get("searchResultIndex"))
    return Marker(
        number=None if number is None else number + 1,
        title=one.get("title"),
        key=place.get("url") or one.get("source"),
        quote=_text(one.get("sourceContent")) or None,
        span=(place["start"], place["end"]) if kind == "documentChar" else None,
        page=place["start"] if kind == "documentPage" else None,
    )


def _retrieved(one: dict[str, Any]) -> list[Claim]:
    """A part of a knowledge base's answer, with the chunks that it is from and where these are kept."""
    part, claims = one["generatedResponsePart"]["textResponsePart"], []
    start = part["span"]["start"]
    for reference in one.get("retrievedReferences") or ():
        kept = [place for place in (reference.get("location") or {}).values() if isinstance(place, dict)]
        key = next((place.get("uri") or place.get("url") or place.get("id") for place in kept), None)
        marker = Marker(key=key, quote=(reference.get("content") or {}).get("text"))
        claims.append(Claim(0, marker, start, start + len(part["text"]), part["text"]))
    return claims
