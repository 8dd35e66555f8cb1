"""OpenDocument's texts: headings, paragraphs, lists and tables."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed, escaped, heading, indented, table_blocks
from llmattr.text.readers.needs import needs

if TYPE_CHECKING:
    from odf.element import Element

KNOWN = {"title": "title", "author": "creator", "date": "date"}  # by their names in Dublin Core
CONTAINERS = ("text", "section", "list-item", "list-header", "index-body")


def read_odt(data: bytes, name: str) -> Document:
    """A text of LibreOffice and others as Markdown."""
    with needs("ODT"):
        from odf.opendocument import load
    try:
        opened: Any = load(io.BytesIO(data))
        text, _ = composed(_blocks(opened.text))
        tags = {_tag(node): "".join(str(part) for part in node.childNodes) for node in opened.meta.childNodes}
    except Exception as error:  # what its many parsers raise
        raise LlmattrError(f"{name!r} is an ODT file that cannot be read ({type(error).__name__}: {error!s:.80})") from error
    known = {key: tags[tag] for key, tag in KNOWN.items() if tags.get(tag)}
    return Document(text, name, format="markdown", metadata=known)


def _tag(node: "Element") -> str:
    return node.qname[1] if node.nodeType == node.ELEMENT_NODE else ""


def _blocks(parent: "Element") -> Iterator[Block]:
    from odf.teletype import extractText

    for node in parent.childNodes:
        tag = _tag(node)
        if tag == "h":
            yield Block(heading(extractText(node), int(node.getAttribute("outlinelevel") or 1)), {})
        elif tag == "p":
            yield Block(escaped(extractText(node)), {})
        elif tag == "list":
            yield from _items(node)
        elif tag == "table":
            rows = _rows(node)
            yield from table_blocks(rows, True, [{}] * len(rows))
        elif tag in CONTAINERS:
            yield from _blocks(node)


def _items(node: "Element") -> Iterator[Block]:
    for number, item in enumerate(node.childNodes):
        content = [block for block in _blocks(item) if block.text]
        for i, block in enumerate(indented(content, "- ", "  ")):
            yield block._replace(tight=number > 0 or i > 0)


def _rows(node: "Element") -> list[list[str]]:
    from odf.table import TableCell, TableRow
    from odf.teletype import extractText

    return [[extractText(cell) for cell in row.getElementsByType(TableCell)] for row in node.getElementsByType(TableRow)]
