"""HTML: title, main text and tables, without what the page is furnished with."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed, heading, indented, one_line, table_blocks
from llmattr.text.readers.encodings import decode
from llmattr.text.readers.needs import needs

if TYPE_CHECKING:
    from lxml.html import HtmlElement

FURNITURE = {"nav", "aside", "form", "dialog", "menu"}
NO_TEXT = {
    *("audio", "button", "canvas", "head", "iframe", "noscript", "object"),
    *("script", "select", "style", "svg", "template", "video"),
}
ROLES = {"navigation", "banner", "contentinfo", "search", "complementary", "dialog"}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = {
    *("address", "article", "body", "blockquote", "caption", "center", "dd", "details", "dir", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "header", "hr", "li", "main", "ol", "p", "pre", "section", "summary"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
    *HEADINGS,
    *FURNITURE,
}
_BREAK = "\u2028"  # stands for <br>
_CHARSET = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE
)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def read_html(data: bytes, name: str) -> Document:
    """A page as Markdown: its title, its main text, and the line of the file that each block begins in."""
    said = _CHARSET.search(data[:4096])
    declared = next((one for one in said.groups() if one), b"").decode("ascii") if said else None
    return from_html(decode(data, name, declared), name)


def from_html(page: str, name: str) -> Document:
    """The same of a page that is text already."""
    with needs("HTML"):
        from lxml import html

    text = _DECLARATION.sub("", page.replace("\0", ""))
    if not text.strip():
        return Document("", name, format="markdown")
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    body = _main(root)
    try:
        made, places = composed(_blocks(body, inside=body.tag != "body"))
    except RecursionError:
        raise LlmattrError(f"{name!r} is damaged: its tags are nested without end") from None
    title = one_line(" ".join(root.xpath("//head/title//text()|//title[1]//text()")[:1]))
    known = {"title": title, **_known(root)}
    return Document(
        made,
        name,
        title or None,
        "markdown",
        _language(root),
        {key: value for key, value in known.items() if value},
        places,
    )


def _language(root: "HtmlElement") -> str | None:
    said = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
    found = re.match(r"[a-z]{2}(?=$|[-_])", said.lower())
    return found[0] if found else None


def _known(root: "HtmlElement") -> dict[str, str]:
    said = {
        (tag.get("name") or tag.get("property") or "").lower(): one_line(tag.get("content") or "")
        for tag in root.xpath("//meta")
    }
    canonical = root.xpath("//link[@rel='canonical']/@href")
    return {
        "author": said.get("author") or said.get("article:author") or "",
        "date": said.get("article:published_time") or said.get("date") or said.get("dcterms.date") or "",
        "url": canonical[0] if canonical else said.get("og:url", ""),
    }


def _main(root: "HtmlElement") -> "HtmlElement":
    """The element that the page itself calls its main part, where that has most of the text; else its body."""
    body = next(iter(root.xpath("//body")), root)
    marked = root.xpath("//main | //*[@role='main']") or root.xpath("//article")
    size = len(body.text_content())
    return marked[0] if len(marked) == 1 and len(marked[0].text_content()) > size / 4 else body


def _left_out(element: "HtmlElement", inside: bool) -> bool:
    """Whether it is no part of what the page says; `inside`: of its main part, where a header has its heading."""
    if not isinstance(element.tag, str) or element.tag in NO_TEXT | FURNITURE or element.get("role") in ROLES:
        return True
    hidden = element.get("hidden") is not None or element.get("aria-hidden") == "true"
    unseen = "display:none" in (element.get("style") or "").replace(" ", "").lower()
    return hidden or unseen or (element.tag in ("header", "footer") and not inside)


def _blocks(element: "HtmlElement", inside: bool) -> Iterator[Block]:
    """What an element has, block by block; text between blocks is a paragraph of its own."""
    inline = [element.text or ""]
    line = element.sourceline
    for child in element:
        if _is_block(child):
            yield _paragraph(inline, line)
            if not _left_out(child, inside):
                yield from _block(child, inside)
            inline, line = [child.tail or ""], child.sourceline
        else:
            line = line if "".join(inline).strip() else child.sourceline
            inline += ["" if _left_out(child, inside=True) else _inline(child), child.tail or ""]
    yield _paragraph(inline, line)


def _is_block(element: "HtmlElement") -> bool:
    return any(inner.tag in BLOCKS for inner in element.iter())


def _paragraph(inline: list[str], line: int | None) -> Block:
    text = re.sub(r"[ \t\r\n\f]+", " ", "".join(inline))
    lines = [part.strip() for part in text.split(_BREAK)]
    return Block("\n".join(part for part in lines if part), _place(line))


def _place(line: int | None) -> dict[str, Any]:
    return {} if line is None else {"file_line": line}


def _inline(element: "HtmlElement") -> str:
    if element.tag == "br":
        return _BREAK
    parts = [element.text or ""]
    for child in element:
        parts += ["" if _left_out(child, inside=True) else _inline(child), child.tail or ""]
    return "".join(parts)


def _block(element: "HtmlElement", inside: bool) -> Iterator[Block]:
    """The blocks of an element that is one."""
    tag, place = element.tag, _place(element.sourceline)
    if tag in HEADINGS:
        yield Block(heading(_inline(element).replace(_BREAK, " "), HEADINGS[tag]), place)
    elif tag in ("ul", "ol"):
        yield from _list(element, inside)
    elif tag == "pre":
        yield Block(_code(_inline(element).replace(_BREAK, "\n").strip("\r\n")), place)
    elif tag == "blockquote":
        yield from indented((block for block in _blocks(element, inside) if block.text), "> ", "> ")
    elif tag == "table" and not element.xpath(".//table|.//p[2]|.//ul|.//ol|.//h1|.//h2|.//h3|.//h4|.//pre"):
        yield from _table(element)
    elif tag != "hr":
        yield from _blocks(element, inside or tag in ("article", "main", "section"))


def _code(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}" if text.strip() else ""


def _list(element: "HtmlElement", inside: bool) -> Iterator[Block]:
    """Its items, each with what stands in it set in below; lists in lists follow without an empty line."""
    number, tight = int(element.get("start") or 1) if (element.get("start") or "1").isdigit() else 1, False
    for item in element:
        if _left_out(item, inside):
            continue
        marker = f"{number}. " if element.tag == "ol" else "- "
        content = [block for block in _blocks(item, inside) if block.text]
        for i, block in enumerate(indented(content, marker, " " * len(marker))):
            yield block._replace(tight=tight if i == 0 else block.tight or content[i].text.startswith(("- ", "1. ")))
        tight, number = True, number + 1


def _table(element: "HtmlElement") -> Iterator[Block]:
    """Its caption as a paragraph, then its rows."""
    for caption in element.xpath("./caption"):
        yield _paragraph([_inline(caption)], caption.sourceline)
    rows = element.xpath("./tr | ./thead/tr | ./tbody/tr | ./tfoot/tr")
    cells = [[_inline(cell).replace(_BREAK, " ") for cell in row.xpath("./td | ./th")] for row in rows]
    header = bool(rows) and (rows[0].getparent().tag == "thead" or not rows[0].xpath("./td"))
    yield from table_blocks(cells, header, [_place(row.sourceline) for row in rows])
