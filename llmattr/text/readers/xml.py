"""XML: the text of its elements, and what they are called where they are no sentences."""

from collections.abc import Iterator
from xml.etree import ElementTree

from llmattr.core.sources import Document
from llmattr.text.readers.blocks import Block, composed, one_line
from llmattr.text.readers.html import read_html
from llmattr.text.readers.plain import read_plain

_ENDS = (".", "!", "?", ":", "。", "！", "？", "।", "؟")


def read_xml(data: bytes, name: str) -> Document:
    """The text of each element that has one, with all that stands in it; one that is no sentence as `- price: 3`.

    XHTML is read as HTML. What has all its text in attributes stays as it stands, and so does what is no XML.
    """
    try:
        root = ElementTree.fromstring(data)  # knows no file or address beside this one
        if _tag(root) == "html":
            return read_html(data, name)
        text, _ = composed(_blocks(root))
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return read_plain(data, name, "html")
    return Document(text, name, format="markdown") if text else read_plain(data, name, "code")


def _tag(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _blocks(node: ElementTree.Element, after_item: bool = False) -> Iterator[Block]:
    said = one_line("".join(node.itertext()))
    if not said:
        return
    if _has_text(node):
        is_item = not len(node) and not said.endswith(_ENDS)
        yield Block(f"- {_tag(node)}: {said}" if is_item else said, {}, tight=is_item and after_item)
        return
    for child in node:
        for block in _blocks(child, after_item):
            yield block
            after_item = block.text.startswith("- ")


def _has_text(node: ElementTree.Element) -> bool:
    """Whether text stands in it beside its elements."""
    return any((text or "").strip() for text in (node.text, *(child.tail for child in node)))
