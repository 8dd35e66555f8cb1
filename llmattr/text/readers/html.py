"""HTML: title, main text and tables, without what the page is furnished with."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed, escaped, furnished, heading, indented, one_line, table_blocks
from llmattr.text.readers.encodings import decode
from llmattr.text.split.html_seen import is_left_out, is_navigation, is_title, texts_of_picture
from llmattr.text.split.tags import HEADINGS, Element, Text, read

FURNITURE = {"nav", "form", "dialog", "menu", "head", "title"}
_TEXT = {"p", "article", "section", "h1", "h2", "h3", "ul", "ol", "table", "pre"}
_LAYOUT = {"table", "ul", "ol", "h1", "h2", "h3", "h4", "pre"}  # in a cell: the table only places what is in it
_FRAME = {"table", "thead", "tbody", "tfoot", "tr", "colgroup"}  # they hold no text but in what they frame
_FRAMED = {"caption", "thead", "tbody", "tfoot", "tr", "col", "colgroup"}
_CELLS = {"td", "th"}
_BREAK = "\u2028"  # stands for <br>
_CHARSET = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE
)


def read_html(data: bytes, name: str) -> Document:
    """A page as Markdown: its title, its main text, and the line of the file that each block begins in."""
    said = _CHARSET.search(data[:4096])
    declared = next((one for one in said.groups() if one), b"").decode("ascii") if said else None
    return from_html(decode(data, name, declared), name)


def from_html(page: str, name: str) -> Document:
    """The same of a page that is text already."""
    root = read(page.replace("\0", ""))
    body = _main(root)
    try:
        blocks = _with_titles([block for block in _blocks(body, inside=body is not root) if block.text.strip()])
    except RecursionError:
        raise LlmattrError(f"{name!r} is damaged: its tags are nested without end") from None
    made, places = composed(blocks)
    title = next((one_line("".join(element.texts())) for element in root.elements() if element.tag == "title"), "")
    known = {"title": title, **_known(root)}
    return Document(
        made,
        name,
        title or None,
        "markdown",
        _language(root),
        {key: value for key, value in known.items() if value},
        places,
        furnished(blocks),
    )


def _with_titles(blocks: list[Block]) -> list[Block]:
    """Short lines right above what furnishes a page are its titles."""
    found = list(blocks)
    for i in range(len(blocks) - 1):
        if blocks[i + 1].furniture and not (blocks[i].tight or blocks[i + 1].tight) and is_title(blocks[i].text):
            found[i] = blocks[i]._replace(furniture=True)
    return found


def _language(root: Element) -> str | None:
    page = next((element for element in root.elements() if element.tag == "html"), root)
    said = page.attributes.get("lang") or page.attributes.get("xml:lang") or ""
    found = re.match(r"[a-z]{2}(?=$|[-_])", said.lower())
    return found[0] if found else None


def _known(root: Element) -> dict[str, str]:
    tags = [(element.tag, element.attributes) for element in root.elements()]
    said = {
        (meta.get("name") or meta.get("property") or "").lower(): one_line(meta.get("content", ""))
        for tag, meta in tags
        if tag == "meta"
    }
    canonical = [link["href"] for tag, link in tags if tag == "link" and link.get("rel") == "canonical" and "href" in link]
    return {
        "author": said.get("author") or said.get("article:author") or "",
        "date": said.get("article:published_time") or said.get("date") or said.get("dcterms.date") or "",
        "url": canonical[0] if canonical else said.get("og:url", ""),
    }


def _main(root: Element) -> Element:
    """The element that the page itself calls its main part, where that has most of the text; else all of it."""
    elements = list(root.elements())
    marked = [element for element in elements if element.tag == "main" or element.attributes.get("role") == "main"]
    marked = marked or [element for element in elements if element.tag == "article"]
    body = next((element for element in elements if element.tag == "body"), root)
    return marked[0] if len(marked) == 1 and _size(marked[0]) > _size(body) / 4 else root


def _size(element: Element) -> int:
    return sum(map(len, element.texts()))


def _left_out(element: Element, inside: bool) -> bool:
    """Whether it is no part of what the page says; `inside`: of its main part, where a header has its heading."""
    beside = not inside and (element.tag == "aside" or element.attributes.get("role") == "complementary")
    furniture = (beside or element.tag in FURNITURE) and element.is_closed
    if furniture and element.tag == "form":  # some pages are one form as a whole
        furniture = not any(inner.tag in _TEXT for inner in element.elements())
    return furniture or is_left_out(element, inside)


def _blocks(element: Element, inside: bool) -> Iterator[Block]:
    """What an element has, block by block; text between blocks is a paragraph of its own."""
    inline: list[str] = []
    line = element.line
    for i, child in enumerate(element.children):
        if isinstance(child, Text):
            inline.append(child.said)
        elif child.is_block or (child.tag == "svg" and texts_of_picture(child)):
            yield _paragraph(inline, line)
            if not _left_out(child, inside):
                made = _block(child, inside)
                yield from (block._replace(furniture=True) for block in made) if is_navigation(child) else made
            inline, line = [], child.line
        else:
            line = line if any(map(str.strip, inline)) else child.line
            named = child.tag == "button" and any(map(str.strip, inline)) and _says(element.children[i + 1 :])
            inline.append(_inline(child) if named or not _left_out(child, inside=True) else "")
    yield _paragraph(inline, line)


def _says(nodes: Sequence[Element | Text]) -> bool:
    """Whether a word of the text itself follows, such as one that goes on behind the name of a button."""
    return any(isinstance(node, Text) and any(map(str.isalnum, node.said)) for node in nodes)


def _paragraph(inline: list[str], line: int) -> Block:
    """A paragraph by its lines."""
    text = re.sub(r"[ \t\r\n\f]+", " ", "".join(inline))
    return Block(escaped("\n".join(part for part in text.split(_BREAK) if part.strip())), _place(line))


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
        elif not _left_out(child, inside=True):
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
        yield from (_paragraph([_inline(said)], said.line) for said in texts_of_picture(element))
    elif tag == "dl":
        yield from _definitions(element, inside)
    elif tag == "pre":
        yield Block(_code(_inline(element).replace(_BREAK, "\n").strip("\r\n")), place)
    elif tag == "blockquote":
        yield from indented((block for block in _blocks(element, inside=True) if block.text), "> ", "> ")
    elif tag == "table" and _is_grid(element):
        yield from _table(element)
    elif tag != "hr":
        yield from _blocks(element, inside or tag in ("article", "main", "section"))


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
        blocks = [_paragraph([item.said], element.line)] if isinstance(item, Text) else _blocks(item, inside)
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
        content = [block for block in _blocks(part, inside) if block.text]
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
        if isinstance(child, Element) and not _left_out(child, inside=True):
            yield from [child] if child.tag in ("dt", "dd") else _parts(child)


def _is_blank(node: Element | Text) -> bool:
    return not node.said.strip() if isinstance(node, Text) else _left_out(node, inside=True)


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


def _table(element: Element) -> Iterator[Block]:
    """Its caption as a paragraph, then its rows."""
    inner = [part for part in element.elements() if not _left_out(part, inside=True)]
    for part in inner:
        if part.tag == "caption":
            yield _paragraph([_inline(part)], part.line)
    rows = [part for part in inner if part.tag == "tr"]
    cells = [[cell for cell in row.children if isinstance(cell, Element) and cell.tag in _CELLS] for row in rows]
    texts = [[_inline(cell).replace(_BREAK, " ") for cell in row] for row in cells]
    headed = next((part.tag for part in inner if part.tag in ("thead", "tr")), "") == "thead"
    header = headed or (bool(cells) and all(cell.tag == "th" for cell in cells[0]))
    yield from table_blocks(texts, header, [_place(row.line) for row in rows])
