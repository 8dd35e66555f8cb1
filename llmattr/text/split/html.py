"""HTML, by tree-sitter: the text between block tags; tags, scripts, styles, navigation and page furniture are no source."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from llmattr.text.split import code
from llmattr.text.split.blocks import Block, Kind, shifted

if TYPE_CHECKING:
    from tree_sitter import Node


def _names(tags: str) -> frozenset[str]:
    return frozenset(tags.split())


_SILENT = _names("script style nav header footer template svg noscript select")
_HEADINGS = _names("h1 h2 h3 h4 h5 h6 title caption")
_INLINE = _names(
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label mark meter "
    "output q ruby rp rt s samp small span strike strong sub sup time tt u var wbr"
)
_VOID = _names("area base br col embed hr img input link meta param source track wbr")
_SILENT_NODES = {"script_element", "style_element", "comment", "doctype", "raw_text"}


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    import tree_sitter
    import tree_sitter_html

    source = text.encode("utf-8", "surrogatepass")
    tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_html.language())).parse(source)
    at = _characters(source)
    run = _Run(text)
    for event, name, a, b in _events(tree.root_node):
        run.take(event, name, int(at[a]), int(at[b]))
    run.close()
    return run.found


def _characters(source: bytes) -> Int[np.ndarray, " bytes"]:
    """The character that each byte belongs to."""
    starts = (np.frombuffer(source, dtype=np.uint8) & 0xC0) != 0x80
    return np.concatenate([[0], np.cumsum(starts)])


Event = tuple[str, str, int, int]  # what happens, the tag's name, first byte and the one behind the last


def _events(root: "Node") -> Iterator[Event]:
    """What a page says, in order: "open", "close" and "text" with their bytes, and "row" and "pre" with all that is in them."""
    waiting: list[Node | Event] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            yield node
        elif node.type in ("text", "entity"):
            yield "text", "", node.start_byte, node.end_byte
        elif node.type in ("start_tag", "self_closing_tag"):
            yield "open", _name(node), node.start_byte, node.end_byte
        elif node.type == "end_tag":
            yield "close", _name(node), node.start_byte, node.end_byte
        elif node.type == "element":
            waiting += reversed(list(_inside(node)))
        elif node.type not in _SILENT_NODES:
            waiting += reversed(node.children)


def _inside(node: "Node") -> "list[Node | Event]":
    """An element's children; a table's row and preformatted text as one event each; where it has no end tag, one is said."""
    children = list(node.children)
    name = _name(children[0]) if children else ""
    if name in _SILENT:
        return [("close", "div", node.start_byte, node.start_byte)]
    if name == "pre":
        inner = _innermost(node)
        return [("pre", name, inner[0].start_byte, inner[-1].end_byte)] if inner else []
    if name == "tr":
        cells = [child for child in children if child.type == "element" and _name(child.children[0]) in ("td", "th")]
        simple = not any(_holds_blocks(cell) for cell in cells)
        if cells and simple:
            kind = "td" if any(_name(cell.children[0]) == "td" for cell in cells) else "th"
            return [("row", kind, cells[0].start_byte, cells[-1].end_byte)]
    ended = children and children[-1].type == "end_tag"
    last: list[Node | Event] = [] if ended or name in _VOID else [("close", name, node.end_byte, node.end_byte)]
    return [*children, *last]


def _name(tag: "Node") -> str:
    named = next((child for child in tag.children if child.type in ("tag_name", "erroneous_end_tag_name")), None)
    return (named.text or b"").decode("utf-8", "replace").lower() if named else ""


def _holds_blocks(cell: "Node") -> bool:
    """Whether a cell is a page's layout rather than a value: there are tables or lists in it."""
    waiting = list(cell.children)
    while waiting:
        node = waiting.pop()
        if node.type == "element" and _name(node.children[0]) in ("table", "ul", "ol", "div", "h1", "h2", "h3"):
            return True
        waiting += node.children
    return False


def _innermost(node: "Node") -> "list[Node]":
    """What stands inside of an element, and of the one that alone is in it."""
    inner = [child for child in node.children if child.type not in ("start_tag", "end_tag")]
    return _innermost(inner[0]) if len(inner) == 1 and inner[0].type == "element" else inner


@dataclass
class _Run:
    """The inline text that is being read, from `start` to `end`, and the elements that it stands in."""

    text: str
    found: list[Block] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)  # inline tags before the first word
    end: int | None = None

    def take(self, event: str, name: str, a: int, b: int) -> None:
        """The next event."""
        if event == "text":
            said = self.text[a:b]
            if said.strip():
                self.opened = self.opened or [a + len(said) - len(said.lstrip())]
                self.end = a + len(said.rstrip())
        elif event in ("row", "pre"):
            self.close()
            if event == "row":
                b = a + len(self.text[a:b].rstrip())
                self.found.append(Block(a, b, "row", name == "td"))
            else:
                self.found += shifted(code.blocks(self.text[a:b]), a)
        elif name in _INLINE:
            self._take_inline(event, name, a, b)
        else:
            self.close()
            if event == "open" and name not in _VOID:
                self.inside.append(name)
            elif event == "close" and name in self.inside[-_DEEP:]:
                while self.inside.pop() != name:
                    pass

    def _take_inline(self, event: str, name: str, a: int, b: int) -> None:
        if self.end is not None:
            self.end = b if (event == "close" and a == b) or self.text[a:b].startswith("</") else self.end
        elif event == "open" and name not in _VOID:
            self.opened.append(a)
        elif self.opened:
            self.opened.pop()

    def close(self) -> None:
        """The text so far is a block."""
        if self.end is not None:
            heading = _kind(self.inside) == "heading"
            self.found.append(Block(self.opened[0], self.end, _kind(self.inside), not heading))
        self.opened, self.end = [], None


_DEEP = 200  # elements: an end tag closes one no further out


def _kind(inside: list[str]) -> Kind:
    for name in reversed(inside[-_DEEP:]):
        if name in _HEADINGS:
            return "heading"
        if name in ("li", "blockquote"):
            return "item" if name == "li" else "quote"
    return "paragraph"
