"""Word's files: headings, paragraphs with their notes, lists and tables, with the pages that Word last saw."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed, escaped, heading, table_blocks
from llmattr.text.readers.needs import needs

if TYPE_CHECKING:
    from datetime import datetime

    from docx.document import Document as Opened
    from docx.oxml.xmlchemy import BaseOxmlElement as Node

_LEVEL = re.compile(r"(?:heading|title) ?(\d?)", re.IGNORECASE)
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PARTS = ("p", "tbl")
# What was deleted or moved away, what only older versions of Word show, and how a paragraph looks.
_UNSEEN = ("del", "moveFrom", "Fallback", "pPr", "rPr")
_BOXES = (*_UNSEEN, "txbxContent")  # and what stands in a box beside the text
_BETWEEN = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def read_docx(data: bytes, name: str) -> Document:
    """A file of Word as Markdown; pages are those of the last time that Word showed it."""
    with needs("DOCX"):
        import docx
    try:
        opened = docx.Document(io.BytesIO(data))
        text, places = composed(_blocks(opened))
        about = opened.core_properties
        known = {"title": about.title, "author": about.author, "date": _day(about.created)}
    except Exception as error:  # what its many parsers raise
        raise LlmattrError(f"{name!r} is a DOCX file that cannot be read ({type(error).__name__}: {error!s:.80})") from error
    return Document(
        text, name, format="markdown", metadata={key: value for key, value in known.items() if value}, places=places
    )


def _day(date: "datetime | None") -> str:
    return date.date().isoformat() if date else ""


def _blocks(opened: "Opened") -> Iterator[Block]:
    notes = dict(_notes(opened))
    page, paged, listed = 1, "lastRenderedPageBreak" in opened.element.xml, False
    for item in _parts(opened.element.body):
        breaks = list(_inside(item, ("lastRenderedPageBreak",), _BOXES))
        page += sum(_leads(one) for one in breaks)
        place = {"page": page} if paged else {}
        if _tag(item) == "tbl":
            rows = list(_rows(item))
            yield from table_blocks(rows, True, [place] * len(rows))
            listed = False
        else:
            text, in_list = _paragraph(item, opened)
            yield Block(text, place, tight=listed and in_list)
            listed = in_list
        for mark in _inside(item, ("footnoteReference", "endnoteReference"), _BOXES):
            yield Block(escaped(notes.get((_kind(mark), mark.get(f"{_WORD}id")), "")), place)
            listed = False
        page += sum(not _leads(one) for one in breaks)


def _tag(node: "Node") -> str:
    return node.tag.rpartition("}")[2]


def _inside(node: "Node", tags: tuple[str, ...], skipped: tuple[str, ...] = _UNSEEN) -> "Iterator[Node]":
    """The outermost nodes with one of these tags, whatever stands around them: content controls, fields, insertions."""
    for child in node.iterchildren("*"):
        tag = _tag(child)
        if tag in tags:
            yield child
        elif tag not in skipped:
            yield from _inside(child, tags, skipped)


def _parts(node: "Node") -> "Iterator[Node]":
    """Paragraphs, each with the boxes that hang on it behind it, and tables."""
    for part in _inside(node, _PARTS):
        yield part
        if _tag(part) == "p":
            yield from _parts(part)


def _value(node: "Node", path: str) -> str:
    return "".join(map(str, node.xpath(path)[:1]))


def _said(node: "Node") -> str:
    """What is seen of a paragraph."""
    said = (_text(one) for one in _inside(node, ("t", *_BETWEEN), _BOXES))
    return "".join(said).strip()


def _text(node: "Node") -> str:
    if _tag(node) == "t":
        return node.text or ""
    return "" if node.get(f"{_WORD}type") in ("page", "column") else _BETWEEN[_tag(node)]


def _notes(opened: "Opened") -> "Iterator[tuple[tuple[str, str | None], str]]":
    """The text of each footnote and endnote, by its kind and id."""
    from docx.oxml.parser import parse_xml

    for relation in opened.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")):
            for note in parse_xml(relation.target_part.blob):
                yield (_kind(note), note.get(f"{_WORD}id")), _all_said(note)


def _all_said(node: "Node") -> str:
    """What all paragraphs and tables in it say, one after the other."""
    parts = [_said(part) if _tag(part) == "p" else _all_said(part) for part in _parts(node)]
    return " ".join(filter(None, parts))


def _kind(node: "Node") -> str:
    """`footnote` or `endnote`, of a note or of the mark that refers to it."""
    return _tag(node).removesuffix("Reference")


def _leads(page_break: "Node") -> bool:
    """Whether nothing of its paragraph or table stands before a page's break."""
    return not page_break.xpath("ancestor::w:tbl | ../preceding-sibling::w:r/w:t | preceding-sibling::w:t")


def _rows(table: "Node") -> Iterator[list[str]]:
    """The text of each row's cells; one that spans several rows in each of them, one that spans several columns once."""
    above: dict[int, str] = {}
    for row in _inside(table, ("tr",)):
        column = int(_value(row, "./w:trPr/w:gridBefore/@w:val") or 0)
        cells = []
        for cell in _inside(row, ("tc",)):
            goes_on = cell.xpath("./w:tcPr/w:vMerge[not(@w:val='restart')]")
            above[column] = above.get(column, "") if goes_on else _all_said(cell)
            cells.append(above[column])
            column += int(_value(cell, "./w:tcPr/w:gridSpan/@w:val") or 1)
        yield cells


def _paragraph(paragraph: "Node", opened: "Opened") -> tuple[str, bool]:
    """A paragraph as Markdown, and whether it is an item of a list."""
    from docx.text.paragraph import Paragraph

    style = Paragraph(paragraph, opened._body).style
    named = (style and style.name) or ""
    text = _said(paragraph)
    if not text:
        return "", False
    if found := _LEVEL.fullmatch(named):
        return heading(text, int(found[1] or 1)), False
    text = escaped(text)
    if paragraph.xpath("./w:pPr/w:numPr") or named.startswith("List "):
        level = _value(paragraph, "./w:pPr/w:numPr/w:ilvl/@w:val")
        marker = "1. " if "Number" in named else "- "
        return f"{'    ' * int(level or 0)}{marker}{text}", True
    return text, False
