"""Anthropic's Messages API: blocks of text with `citations`, by characters or, where they are known, by pages.

Characters count from 0, pages from 1, ends are exclusive (its guide to citations; types of the package anthropic 2.14).
"""

from typing import Any

from llmattr.text.shapes.cited import Cited, Quote
from llmattr.text.shapes.marked import Claim, Marker


def write(cited: Cited) -> dict[str, Any]:
    """A message; what only the service knows (id, model, usage ...) is left out."""
    content = [{"type": "text", "text": text, "citations": [*map(_citation, quotes)] or None} for text, quotes in cited.blocks]
    return {"type": "message", "role": "assistant", "content": content, "llmattr": cited.record}


def _citation(quote: Quote) -> dict[str, Any]:
    known = {"cited_text": quote.text, "document_index": quote.document, "document_title": quote.title, "file_id": None}
    if quote.pages is None:
        return {"type": "char_location", **known, "start_char_index": quote.start, "end_char_index": quote.end}
    return {"type": "page_location", **known, "start_page_number": quote.pages[0], "end_page_number": quote.pages[1]}


def read(given: Any) -> tuple[list[str], list[Claim]] | None:
    """A message, or the list of its blocks; None for what is neither."""
    blocks = given.get("content") if isinstance(given, dict) else given
    if not (isinstance(blocks, list) and all(isinstance(block, dict) for block in blocks)):
        return None
    texts = [block for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    is_message = isinstance(given, dict) and given.get("type") == "message" and bool(texts)
    if not (is_message or any(block.get("citations") is not None for block in texts)):
        return None
    claims = [Claim(part, _marker(one)) for part, block in enumerate(texts) for one in block.get("citations") or ()]
    return [block["text"] for block in texts], claims


def _marker(one: dict[str, Any]) -> Marker:
    number = one.get("document_index", one.get("search_result_index"))
    return Marker(
        number=None if number is None else number + 1,
        title=one.get("document_title") or one.get("title"),
        key=one.get("url") or one.get("source"),
        quote=one["cited_text"],
        span=(one["start_char_index"], one["end_char_index"]) if one["type"] == "char_location" else None,
        page=one.get("start_page_number"),
    )
