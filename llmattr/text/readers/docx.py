"""Word's files: headings, paragraphs with their notes, lists and tables, with the pages that Word last saw."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed, heading, table_blocks
from llmattr.text.readers.needs import needs

if TYPE_CHECKING:
    from datetime import datetime

    from docx.document import Document as Opened
    from docx.oxml.xmlchemy import BaseOxmlElement
    from docx.table import _Row
    from docx.text.paragraph import Paragraph

_LEVEL = re.compile(r"(?:heading|title) ?(\d?)", re.IGNORECASE)


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
    from docx.oxml.ns import qn
    from docx.table import Table

    notes = dict(_notes(opened))
    page, paged, listed = 1, "lastRenderedPageBreak" in opened.element.xml, False
    for item in opened.iter_inner_content():
        breaks = item._element.xpath(".//w:lastRenderedPageBreak")
        page += sum(_leads(one) for one in breaks)
        place = {"page": page} if paged else {}
        if isinstance(item, Table):
            rows = [_cells(row) for row in item.rows]
            yield from table_blocks(rows, True, [place] * len(rows))
            listed = False
        else:
            text, in_list = _paragraph(item)
            yield Block(text, place, tight=listed and in_list)
            listed = in_list
        for mark in item._element.xpath(".//w:footnoteReference | .//w:endnoteReference"):
            yield Block(notes.get((_kind(mark.tag), mark.get(qn("w:id"))), ""), place)
            listed = False
        page += sum(not _leads(one) for one in breaks)


def _notes(opened: "Opened") -> Iterator[tuple[tuple[str, str], str]]:
    """The text of each footnote and endnote, by its kind and id."""
    from docx.oxml.ns import qn
    from docx.oxml.parser import parse_xml

    for relation in opened.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")):
            for note in parse_xml(relation.target_part.blob):
                said = ["".join(part.text or "" for part in paragraph.iter(qn("w:t"))) for paragraph in note.iter(qn("w:p"))]
                yield (_kind(note.tag), note.get(qn("w:id"))), " ".join(said)


def _kind(tag: str) -> str:
    """`footnote` or `endnote`, of a note or of the mark that refers to it."""
    return tag.rpartition("}")[2].removesuffix("Reference")


def _leads(page_break: "BaseOxmlElement") -> bool:
    """Whether nothing of its paragraph or table stands before a page's break."""
    return not page_break.xpath("ancestor::w:tbl | ../preceding-sibling::w:r/w:t | preceding-sibling::w:t")


def _cells(row: "_Row") -> list[str]:
    """The text of each cell; one that spans several columns once."""
    cells = {id(cell._tc): cell.text for cell in row.cells}
    return list(cells.values())


def _paragraph(paragraph: "Paragraph") -> tuple[str, bool]:
    """A paragraph as Markdown, and whether it is an item of a list."""
    style = (paragraph.style and paragraph.style.name) or ""
    text = paragraph.text.strip()
    if not text:
        return "", False
    if found := _LEVEL.fullmatch(style):
        return heading(text, int(found[1] or 1)), False
    if paragraph._element.xpath("./w:pPr/w:numPr") or style.startswith("List "):
        level = "".join(paragraph._element.xpath("./w:pPr/w:numPr/w:ilvl/@w:val")[:1])
        marker = "1. " if "Number" in style else "- "
        return f"{'    ' * int(level or 0)}{marker}{text}", True
    return text, False
