"""LangChain's standard content (1.x): a text block with `annotations`, indices in code points of its text, ends exclusive.

Types of langchain-core 1.8 (`langchain_core.messages.content`); `extras` is its place for what others add.
"""

from typing import Any

from llmattr.text.shapes.cited import Cited, Quote, Sentence
from llmattr.text.shapes.marked import Claim, Marker


def write(cited: Cited) -> dict[str, Any]:
    """A text block, for `AIMessage(content=[block])`."""
    annotations = [_citation(sentence, quote) for sentence in cited.citing for quote in sentence.quotes]
    return {"type": "text", "text": cited.answer, "annotations": annotations, "extras": {"llmattr": cited.record}}


def _citation(sentence: Sentence, quote: Quote) -> dict[str, Any]:
    place = {"start_index": sentence.start, "end_index": sentence.end}
    found = {"type": "citation", **place, "title": quote.name, "cited_text": quote.text}
    return found if quote.url is None else {**found, "url": quote.url}


def read(given: Any) -> tuple[list[str], list[Claim]] | None:
    """A message, its blocks or one block; None for what is none of them."""
    match given:
        case {"type": "ai" | "AIMessageChunk", "content": str(text)}:
            return [text], []
        case {"type": "text", "text": str()}:
            blocks = [given]
        case {"content": [*blocks]} | [*blocks]:
            pass
        case _:
            return None
    texts = [block for block in blocks if isinstance(block, dict) and block.get("type") == "text"]
    if not (texts and all(isinstance(block.get("text"), str) for block in texts)):
        return None
    found = [(part, one) for part, block in enumerate(texts) for one in block.get("annotations") or ()]
    claims = [Claim(part, _marker(one), *_place(one)) for part, one in found if one.get("type") == "citation"]
    return [block["text"] for block in texts], claims


def _place(one: dict[str, Any]) -> tuple[object, object]:
    """Where it says so; otherwise all of its block."""
    return (one.get("start_index", 0), one["end_index"]) if "end_index" in one else (None, None)


def _marker(one: dict[str, Any]) -> Marker:
    return Marker(title=one.get("title"), key=one.get("url"), quote=one.get("cited_text"))
