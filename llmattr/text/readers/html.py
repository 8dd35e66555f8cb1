"""HTML: title, main text and tables, without what the page is furnished with."""

import re

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed, furnished, one_line
from llmattr.text.readers.encodings import decode
from llmattr.text.readers.html_blocks import blocks_of
from llmattr.text.split.html_seen import is_title
from llmattr.text.split.tags import Element, read

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
        blocks = _with_titles([block for block in blocks_of(body, inside=body is not root) if block.text.strip()])
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
        after = blocks[i + 1]
        if after.furniture and not (after.label or blocks[i].tight or after.tight) and is_title(blocks[i].text):
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
