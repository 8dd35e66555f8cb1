"""HTML: the text between block tags; tags, scripts, styles, navigation and page furniture are no source."""

import bisect
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import regex

from llmattr.text.split import code
from llmattr.text.split.blocks import Block, Kind, says_something, seen, shifted
from llmattr.text.split.breaks import rejoined
from llmattr.text.split.html_seen import is_label, is_left_out, is_navigation, is_title, texts_of_picture
from llmattr.text.split.tags import BLOCKS, HEADINGS, Element, Text, read

_KINDS: dict[str, Kind] = {
    **dict.fromkeys((*HEADINGS, "title", "caption"), "heading"),
    **dict.fromkeys(("li", "dt", "dd"), "item"),
    "blockquote": "quote",
    **dict.fromkeys(("header", "footer"), "furniture"),  # of the main part: those of the page are left out
}
_LAYOUT = frozenset(("table", "ul", "ol", "div", "h1", "h2", "h3"))  # in a cell: it is no value, but a place on the page
_DEFINED = frozenset(("dt", "dd", "p"))
_DEEP = 20  # elements, each alone in the one around it
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


class _Close(NamedTuple):
    """Where an element ends."""

    element: Element


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    run, is_whole = _Run(text), bool(_WHOLE_PAGE.match(text))
    labels: list[tuple[int, int]] = []
    waiting: list[tuple[Element | Text | _Close, Kind, bool]] = [(read(text), "paragraph", False)]
    while waiting:
        node, kind, inside = waiting.pop()
        if isinstance(node, Text):
            run.say(node, kind)
        elif isinstance(node, _Close):
            run.leave(node.element)
        elif is_left_out(node, inside or (node.tag == "aside" and not is_whole)):
            if node.is_block or node.tag in ("script", "style"):
                run.close()
        else:
            label = is_label(node)
            labels += [(node.start, node.end)] if label else []
            named = label or is_navigation(node)
            kind = "furniture" if kind == "furniture" or named else _KINDS.get(node.tag, kind)
            run.enter(node)
            found = [block._replace(quotable=block.quotable and kind != "furniture") for block in _whole(node, text)]
            run.found += found
            children = texts_of_picture(node) if node.tag == "svg" else node.children
            inner = [] if found else [(child, kind, inside or node.tag in _INSIDE) for child in reversed(children)]
            waiting += [(_Close(node), kind, inside), *inner]
    run.close()
    found = _with_titles(rejoined(run.found, text), text, labels)
    if any(block.quotable for block in found):
        return found
    return [block._replace(quotable=block.kind == "furniture") for block in found]  # a page of links alone


def _with_titles(blocks: list[Block], text: str, labels: list[tuple[int, int]]) -> list[Block]:
    """Short lines without a stop right above navigation, which no label is, are its titles."""
    found = list(blocks)
    for i, (block, after) in enumerate(itertools.pairwise(blocks)):
        nearest = bisect.bisect_left(labels, (after.end, 0)) - 1
        is_bar = after.kind == "furniture" and (nearest < 0 or labels[nearest][1] < after.end)
        if is_bar and is_title(seen(text[block.start : block.end])):
            found[i] = block._replace(kind="furniture", quotable=False)
    return found


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
    for _ in range(_DEEP):
        if not (len(element.children) == 1 and isinstance(element.children[0], Element)):
            break
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
    after_term: bool = False  # of a list of definitions: what it is stands behind it

    def say(self, text: Text, kind: Kind) -> None:
        """Text; what is only white space says nothing."""
        if text.said.strip():
            part = self.text[text.start : text.end]
            if self.end is None:
                self.kind, self.first = kind, text.start + len(part) - len(part.lstrip())
            elif self.kind == "furniture":  # a badge before text is part of it
                self.kind = kind
            self.end = text.start + len(part.rstrip())
            self.after_term = False

    def enter(self, element: Element) -> None:
        """A start tag."""
        if self.after_term and element.tag in _DEFINED:
            return
        if element.tag in BLOCKS or element.tag in ("br", "text"):
            self.close()
        elif self.end is None and element.inner < element.close and self.text[element.inner] not in "\r\n":
            self.opened.append(element.start)

    def leave(self, element: Element) -> None:
        """An end tag."""
        if element.tag == "dt" and self.end is not None:
            self.after_term = True
        elif element.tag in BLOCKS or element.tag == "text":
            self.close()
        elif self.end is None and self.opened[-1:] == [element.start]:
            self.opened.pop()
        elif self.end is not None and element.start < self.end and self.text[element.close - 1] not in "\r\n":
            self.end = max(self.end, element.end)

    def close(self) -> None:
        """The text so far is a block."""
        if self.end is not None:
            start = self.opened[0] if self.opened else self.first
            self.found.append(Block(start, self.end, self.kind, self.kind not in ("heading", "furniture")))
        self.opened, self.end, self.after_term = [], None, False
