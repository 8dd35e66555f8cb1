"""XML: the text of its elements, and what they are called where they are no sentences."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from llmattr.core.sources import Document
from llmattr.text.readers.blocks import Block, composed, escaped, one_line
from llmattr.text.readers.html import read_html
from llmattr.text.readers.html_blocks import blocks_of
from llmattr.text.readers.plain import read_plain
from llmattr.text.split.tags import read

_ENDS = (".", "!", "?", ":", "。", "！", "？", "।", "؟")
_MARKS = ("id", "class", "style", "version")  # attributes that tell nothing of what is said
_HTML = re.compile(r"</[a-zA-Z]\w*>|<br\s*/?>")  # as feeds have it in their texts


def read_xml(data: bytes, name: str) -> Document:
    """The text of each element that has one, with all that stands in it; one that is no sentence as `- price (in: EUR): 3`.

    XHTML and drawings are read as HTML, and so is HTML that an element has as its text. What has all its text in attributes
    stays as it stands, and so does what is no XML.
    """
    try:
        root = ElementTree.fromstring(data)  # knows no file or address beside this one
        if _name(root.tag) == "html":
            return read_html(data, name)
        is_drawing = _name(root.tag) == "svg"
        text = read_html(data, name).text if is_drawing else _said(root) and composed(_blocks(root))[0]
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return read_plain(data, name, "html")
    return Document(text, name, format="markdown") if text else read_plain(data, name, "code")


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]


def _said(node: ElementTree.Element) -> str:
    return one_line("".join(_texts(node)))


def _texts(node: ElementTree.Element) -> Iterator[str]:
    """The texts in an element; a space stands between elements that have nothing between them."""
    yield node.text or ""
    for place, child in enumerate(node, 1):
        yield from _texts(child)
        yield child.tail or (" " if place < len(node) else "")


def _blocks(node: ElementTree.Element, after_item: bool = False) -> Iterator[Block]:
    has_text = _has_text(node)
    said = _said(node) if has_text else ""
    if not len(node) and _HTML.search(said):
        yield from (block._replace(place={}) for block in blocks_of(read(node.text or ""), inside=True))
        return
    if has_text and (len(node) or said.endswith(_ENDS)):
        yield Block(escaped(said), {})
        return
    known = "; ".join(f"{key}: {one_line(value)}" for key, value in node.items() if "}" not in key and key not in _MARKS)
    if said or known:
        parts = f"{_name(node.tag)} ({known})" if known else _name(node.tag)
        yield Block(f"- {parts}: {said}" if said else f"- {parts}", {}, tight=after_item)
        after_item = True
    for child in node:
        for block in _blocks(child, after_item):
            yield block
            after_item = block.text.startswith("- ")


def _has_text(node: ElementTree.Element) -> bool:
    """Whether text stands in it beside its elements."""
    return any((text or "").strip() for text in (node.text, *(child.tail for child in node)))
