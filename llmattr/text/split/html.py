"""HTML: the text between block tags; tags, scripts, styles, navigation and page furniture are no source."""

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import regex

from llmattr.text.split import code
from llmattr.text.split.blocks import UP, Block, Kind, says_something, shifted
from llmattr.text.split.tags import BLOCKS, HEADINGS, Element, Text, read

_KINDS: dict[str, Kind] = {
    **dict.fromkeys((*HEADINGS, "title", "caption"), "heading"),
    "li": "item",
    "blockquote": "quote",
    **dict.fromkeys(("header", "footer"), "furniture"),  # of the main part: those of the page are left out
}
_UNSEEN = frozenset(
    ["audio", "button", "canvas", "iframe", "noscript", "object", "script", "select", "style", "svg", "template", "video"]
)
_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "dialog", "doc-backlink"])
_BACK = regex.compile(r"#(?:user-content-)?(?:fnref|fnr|cite_?ref|footnote-?ref|backref)|#(?:\w+-)*top$", regex.I)
_LAYOUT = frozenset(("table", "ul", "ol", "div", "h1", "h2", "h3"))  # in a cell: it is no value, but a place on the page
_TOLD = frozenset(("h1", "h2", "h3", "p"))  # in a header: it is no bar of the site alone
_INSIDE = frozenset(("article", "blockquote", "main", "section"))
_WHOLE_PAGE = regex.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype|html|head|body)\b", regex.I | regex.S)
_MARKDOWN = regex.compile(r"\n[ \t]*\n {0,3}(?:#{1,6} |[-*+] |\d{1,3}[.)] |> |```|~~~|\|)")
_GOES_ON = regex.compile(r"[ \t]+\p{Ll}")  # behind a tag that a sentence names: "<div> is a tag, and </div> ends it"
_BLANK = regex.compile(r"\n[ \t]*\n")


def is_page(text: str) -> bool:
    """Whether a text that begins with a tag is HTML throughout, rather than Markdown that begins with HTML."""
    if _WHOLE_PAGE.match(text):
        return True
    root = read(text)
    first = next(node for node in root.children if isinstance(node, Element))
    if _GOES_ON.match(text, first.inner) and any(
        isinstance(node, Text) and before.is_block and _GOES_ON.match(node.said)
        for before, node in itertools.pairwise(root.children)
        if isinstance(before, Element)
    ):
        return False
    loose = any(isinstance(node, Text) and _BLANK.search(node.said.rstrip()) for node in root.children)
    return not loose and not any(
        isinstance(node, Text) and _MARKDOWN.search(node.said)
        for element in root.elements()
        if element.tag not in ("pre", "script", "style", "textarea")
        for node in element.children
    )


def is_left_out(element: Element, inside: bool = False) -> bool:
    """Whether an element is no part of what a page says; `inside`: of its main part, where a header has its heading.

    What was never closed hides nothing: it may be a word that looks like a tag.
    """
    if not element.is_closed or element.tag in ("html", "body"):
        return False
    if element.tag in _UNSEEN or element.tag == "nav" or (element.tag == "footer" and not inside):
        return True
    if element.tag == "header" and not inside and not any(inner.tag in _TOLD for inner in element.elements()):
        return True
    said = element.attributes
    if not said:
        return False
    if element.tag == "a" and said.get("href", "").startswith("#"):
        return bool(_BACK.match(said["href"]) or UP.fullmatch("".join(element.texts())))
    unseen = "display:none" in said.get("style", "").replace(" ", "").lower()
    return unseen or "hidden" in said or said.get("aria-hidden") == "true" or said.get("role") in _ROLES


class _Close(NamedTuple):
    """Where an element ends."""

    element: Element


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    run = _Run(text)
    waiting: list[tuple[Element | Text | _Close, Kind, bool]] = [(read(text), "paragraph", False)]
    while waiting:
        node, kind, inside = waiting.pop()
        if isinstance(node, Text):
            run.say(node, kind)
        elif isinstance(node, _Close):
            run.leave(node.element)
        elif is_left_out(node, inside):
            if node.is_block or node.tag in ("script", "style"):
                run.close()
        else:
            kind = _KINDS.get(node.tag, kind)
            run.enter(node)
            found = _whole(node, text)
            run.found += found
            inner = [] if found else [(child, kind, inside or node.tag in _INSIDE) for child in reversed(node.children)]
            waiting += [(_Close(node), kind, inside), *inner]
    run.close()
    return run.found


def _whole(element: Element, text: str) -> list[Block]:
    """The blocks of preformatted text and of a table's row; none where it is another element or a row for the layout."""
    if element.tag == "pre":
        inner = _innermost(element)
        start, end = (inner[0].start, inner[-1].end) if inner else (0, 0)
        return shifted(code.blocks(text[start:end]), start)
    if element.tag != "tr":
        return []
    cells: list[Element] = []
    others: list[Element | Text] = []
    for child in element.children:
        if isinstance(child, Element) and child.tag in ("td", "th"):
            cells.append(child)
        else:
            others.append(child)
    loose = any(says_something("".join(_texts(other))) for other in others)
    if not cells or loose or any(inner.tag in _LAYOUT for cell in cells for inner in cell.elements()):
        return []
    start, end = cells[0].start, cells[-1].end
    is_value = any(cell.tag == "td" for cell in cells)
    return [Block(start, start + len(text[start:end].rstrip()), "row", is_value)]


def _texts(node: Element | Text) -> list[str]:
    return [node.said] if isinstance(node, Text) else list(node.texts())


def _innermost(element: Element) -> list[Element | Text]:
    """What stands inside of an element, and of the one that alone is in it."""
    while len(element.children) == 1 and isinstance(element.children[0], Element):
        element = element.children[0]
    return element.children


@dataclass
class _Run:
    """The inline text that is being read, from `start` to `end`."""

    text: str
    kind: Kind = "paragraph"
    found: list[Block] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)  # where inline tags before the first word begin, and then it
    first: int = 0  # where the first word begins
    end: int | None = None

    def say(self, text: Text, kind: Kind) -> None:
        """Text; what is only white space says nothing."""
        if text.said.strip():
            part = self.text[text.start : text.end]
            if self.end is None:
                self.kind, self.first = kind, text.start + len(part) - len(part.lstrip())
            self.end = text.start + len(part.rstrip())

    def enter(self, element: Element) -> None:
        """A start tag."""
        if element.tag in BLOCKS or element.tag == "br":
            self.close()
        elif self.end is None and element.inner < element.close:
            self.opened.append(element.start)

    def leave(self, element: Element) -> None:
        """An end tag."""
        if element.tag in BLOCKS:
            self.close()
        elif self.end is None and self.opened[-1:] == [element.start]:
            self.opened.pop()
        elif self.end is not None and element.start < self.end:
            self.end = max(self.end, element.end)

    def close(self) -> None:
        """The text so far is a block."""
        if self.end is not None:
            start = self.opened[0] if self.opened else self.first
            self.found.append(Block(start, self.end, self.kind, self.kind not in ("heading", "furniture")))
        self.opened, self.end = [], None
