"""The elements of a page as blocks of Markdown, without what the page is furnished with."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from llmattr.text.readers.blocks import Block, escaped, heading, indented, one_line, table_blocks
from llmattr.text.split.html_seen import is_label, is_left_out, is_navigation, texts_of_picture
from llmattr.text.split.tags import HEADINGS, Element, Text

_LAYOUT = {"table", "ul", "ol", "h1", "h2", "h3", "h4", "pre"}  # in a cell: the table only places what is in it
_FRAME = {"table", "thead", "tbody", "tfoot", "tr", "colgroup"}  # they hold no text but in what they frame
_FRAMED = {"caption", "thead", "tbody", "tfoot", "tr", "col", "colgroup"}
_CELLS = {"td", "th"}
_WIDE = 200  # columns: what spans more is cut there
_BREAK = "\u2028"  # stands for <br>


def blocks_of(element: Element, inside: bool) -> Iterator[Block]:
    """What an element has, block by block; text between blocks is a paragraph of its own."""
    inline: list[str] = []
    labels: list[str] = []  # those of them that are labels
    line = element.line
    for i, child in enumerate(element.children):
        if isinstance(child, Text):
            inline.append(child.said)
        elif child.is_block or (child.tag == "svg" and texts_of_picture(child)):
            yield _paragraph(inline, line, labels)
            if child.tag not in ("head", "title") and not is_left_out(child, inside):
                label = is_label(child)
                made = _block(child, inside)
                named = label or is_navigation(child)
                yield from (block._replace(furniture=True, label=label) for block in made) if named else made
            inline, labels, line = [], [], child.line
        else:
            line = line if any(map(str.strip, inline)) else child.line
            named = child.tag == "button" and any(map(str.strip, inline)) and _says(element.children[i + 1 :])
            inline.append(_inline(child) if named or not is_left_out(child, inside=True) else "")
            labels += inline[-1:] if is_label(child) else []
    yield _paragraph(inline, line, labels)


def _says(nodes: Sequence[Element | Text]) -> bool:
    """Whether a word of the text itself follows, such as one that goes on behind the name of a button."""
    return any(isinstance(node, Text) and any(map(str.isalnum, node.said)) for node in nodes)


def _paragraph(inline: list[str], line: int, labels: Sequence[str] = ()) -> Block:
    """A paragraph by its lines; one of labels alone is a label."""
    text = re.sub(r"[ \t\r\n\f]+", " ", "".join(inline))
    label = bool(labels) and [part for part in inline if part.strip()] == [part for part in labels if part.strip()]
    said = escaped("\n".join(part for part in text.split(_BREAK) if part.strip()))
    return Block(said, _place(line), furniture=label, label=label)


def _place(line: int) -> dict[str, Any]:
    return {"file_line": line}


def _inline(element: Element) -> str:
    if element.tag == "br":
        return _BREAK
    if element.tag == "svg":
        return " ".join(map(_inline, texts_of_picture(element)))
    parts = []
    for child in element.children:
        if isinstance(child, Text):
            parts.append(child.said)
        elif not is_left_out(child, inside=True):
            parts.append(_inline(child))
    return "".join(parts)


def _block(element: Element, inside: bool) -> Iterator[Block]:
    """The blocks of an element that is one."""
    tag, place = element.tag, _place(element.line)
    if tag in HEADINGS:
        yield Block(heading(_inline(element).replace(_BREAK, " "), int(tag[1])), place)
    elif tag in ("ul", "ol"):
        yield from _list(element, inside)
    elif tag == "svg":
        for said in texts_of_picture(element):
            yield _paragraph([_inline(said)], said.line, [_inline(said)] if is_label(said) else [])
    elif tag == "dl":
        yield from _definitions(element, inside)
    elif tag == "pre":
        yield Block(_code(_inline(element).replace(_BREAK, "\n").strip("\r\n")), place)
    elif tag == "blockquote":
        yield from indented((block for block in blocks_of(element, inside=True) if block.text), "> ", "> ")
    elif tag == "table" and _is_grid(element):
        yield from _table(element)
    elif tag != "hr":
        yield from blocks_of(element, inside or tag in ("article", "main", "section"))


def _code(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}" if text.strip() else ""


def _list(element: Element, inside: bool) -> Iterator[Block]:
    """Its items, each with what stands in it set in below; lists in lists follow without an empty line."""
    start = element.attributes.get("start", "")
    number, tight = int(start) if start.isdigit() else 1, False
    for item in element.children:
        if _is_blank(item):
            continue
        marker = f"{number}. " if element.tag == "ol" else "- "
        blocks = [_paragraph([item.said], element.line)] if isinstance(item, Text) else blocks_of(item, inside)
        yield from _item([block for block in blocks if block.text], marker, tight)
        tight, number = True, number + 1


def _item(content: list[Block], marker: str, tight: bool) -> Iterator[Block]:
    for i, block in enumerate(indented(content, marker, " " * len(marker))):
        yield block._replace(tight=tight if i == 0 else block.tight or content[i].text.startswith(("- ", "1. ")))


def _definitions(element: Element, inside: bool) -> Iterator[Block]:
    """Its terms, each with what it means: `- term: meaning`."""
    terms: list[str] = []
    tight = False
    for part in _parts(element):
        if part.tag == "dt":
            terms.append(escaped(one_line(_inline(part).replace(_BREAK, " "))))
            continue
        content = [block for block in blocks_of(part, inside) if block.text]
        term = ", ".join(terms) + ("" if not terms or terms[-1].endswith((":", ".", "?")) else ":")
        is_text = bool(content) and not content[0].text.startswith(("- ", "1. ", "|", "```", "#", "> "))
        meaning, rest = (content[0].text, content[1:]) if is_text else ("", content)
        first = Block(f"{term} {meaning}".strip(), _place(part.line))
        yield from _item([first, *rest] if first.text else rest, "- ", tight)
        terms, tight = [], True
    for term in terms:
        yield Block(f"- {term}", _place(element.line), tight)


def _parts(element: Element) -> Iterator[Element]:
    """The terms and meanings of a list of definitions, which may stand in groups."""
    for child in element.children:
        if isinstance(child, Element) and not is_left_out(child, inside=True):
            yield from [child] if child.tag in ("dt", "dd") else _parts(child)


def _is_blank(node: Element | Text) -> bool:
    return not node.said.strip() if isinstance(node, Text) else is_left_out(node, inside=True)


def _is_grid(table: Element) -> bool:
    """Whether a table has values in rows, and nothing else beside them or in them."""
    for element in table.elements():
        tags = [child.tag for child in element.children if isinstance(child, Element)]
        if _LAYOUT & set(tags) or tags.count("p") > 1:
            return False
        framed = _CELLS if element.tag == "tr" else _FRAMED
        if element.tag in _FRAME and any(_tag(child) not in framed for child in element.children if not _is_blank(child)):
            return False
    return True


def _tag(node: Element | Text) -> str:
    return node.tag if isinstance(node, Element) else ""


def _grid(rows: Sequence[Sequence[Element]]) -> list[list[str]]:
    """The texts of cells in their columns: one of several rows is said in each of them, one of several columns in its first."""
    grid: list[list[str]] = []
    above: dict[int, tuple[str | None, int]] = {}  # by column: what is said from above, if anything, and in how many rows
    for row in rows:
        said = dict(above)
        column = 0
        for cell in row:
            column = next(free for free in itertools.count(column) if free not in said)
            said[column] = _inline(cell).replace(_BREAK, " "), _span(cell, "rowspan")
            for beside in range(column + 1, min(column + _span(cell, "colspan"), _WIDE)):
                said.setdefault(beside, (None, _span(cell, "rowspan")))
        last = max((column for column, (text, _) in said.items() if text is not None), default=-1)
        grid.append([said.get(column, ("", 1))[0] or "" for column in range(last + 1)])
        above = {column: (text, more - 1) for column, (text, more) in said.items() if more > 1 and column < _WIDE}
    return grid


def _span(cell: Element, name: str) -> int:
    said = cell.attributes.get(name, "")
    return max(int(said), 1) if said.isdecimal() and len(said) < 5 else 1


def _table(element: Element) -> Iterator[Block]:
    """Its caption as a paragraph, then its rows."""
    inner = [part for part in element.elements() if not is_left_out(part, inside=True)]
    for part in inner:
        if part.tag == "caption":
            yield _paragraph([_inline(part)], part.line)
    rows = [part for part in inner if part.tag == "tr"]
    cells = [[cell for cell in row.children if isinstance(cell, Element) and cell.tag in _CELLS] for row in rows]
    texts = _grid(cells)
    headed = next((part.tag for part in inner if part.tag in ("thead", "tr")), "") == "thead"
    header = headed or (bool(cells) and all(cell.tag == "th" for cell in cells[0]))
    yield from table_blocks(texts, header, [_place(row.line) for row in rows])
