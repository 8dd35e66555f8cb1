"""OpenAI's Responses API: `output_text` with `annotations`, a `url_citation` where an address is known, else a `file_citation`.

Its documentation counts characters: code points, ends exclusive, as its Python users slice (types of the package openai 3.57).
Annotations of chat completions and of the Assistants are read, too.
"""

from typing import Any

from llmattr.text.shapes.cited import Cited, Quote, Sentence
from llmattr.text.shapes.marked import Claim, Marker

CITATIONS = ("url_citation", "file_citation", "container_file_citation")


def write(cited: Cited) -> dict[str, Any]:
    """The part `output_text` of a message."""
    annotations = [_annotation(sentence, quote) for sentence in cited.citing for quote in sentence.quotes]
    return {"type": "output_text", "text": cited.answer, "annotations": annotations, "llmattr": cited.record}


def _annotation(sentence: Sentence, quote: Quote) -> dict[str, Any]:
    if quote.url is None:
        return {"type": "file_citation", "file_id": quote.id, "filename": quote.name, "index": sentence.end}
    place = {"start_index": sentence.start, "end_index": sentence.end}
    return {"type": "url_citation", **place, "url": quote.url, "title": quote.name}


def read(given: Any) -> tuple[list[str], list[Claim]] | None:
    """A response, a completion, a message, or its parts; None for what is none of them."""
    parts = _parts(given)
    claims = [
        _claim(part, one) for part, (_, annotations) in enumerate(parts) for one in annotations if one["type"] in CITATIONS
    ]
    return ([text for text, _ in parts], claims) if parts else None


def _parts(given: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """Every text with its annotations."""
    match given:
        case {"output": [*items]} | {"content": [*items]} | [*items]:
            return [part for item in items for part in _parts(item)]
        case {"choices": [{"message": message}, *_]}:
            return _parts(message)
        case {"type": "output_text", "text": str(text)} | {"role": "assistant", "content": str(text)}:
            return [(text, given.get("annotations") or [])]
        case {"value": str(text), "annotations": [*annotations]} | {
            "text": {"value": str(text), "annotations": [*annotations]}
        }:
            return [(text, annotations)]
    return []


def _claim(part: int, one: dict[str, Any]) -> Claim:
    inner = one.get(one["type"])
    one = {**one, **inner} if isinstance(inner, dict) else one
    marker = Marker(title=one.get("filename") or one.get("title"), key=one.get("url") or one.get("file_id"))
    return Claim(part, marker, one.get("start_index", one.get("index")), one.get("end_index", one.get("index")))
