"""HTML as a tree whose nodes know where they stand, read as browsers do, but for one thing: what is no whole tag is text."""

import bisect
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import regex


def _names(tags: str) -> frozenset[str]:
    return frozenset(tags.split())


HEADINGS = _names("h1 h2 h3 h4 h5 h6")
LISTS = _names("ul ol menu dir")
BLOCKS = (
    HEADINGS
    | LISTS
    | _names(
        "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer "
        "form head header hgroup hr html legend li main nav noscript optgroup option p pre search section summary table tbody "
        "td tfoot th thead title tr"
    )
)
_HEAD = _names("head")
_IN_HEAD = _names("base link meta noscript script style template title")
_VOID = _names("area base br col embed hr img input link meta param source track wbr")
_RAW = _names("script style textarea title")  # what is in them is text up to their end tag
_CELLS, _PARTS = _names("td th"), _names("thead tbody tfoot caption")
_WHOLE = _names("table")
_DRAWING = _names("svg")  # its title is no block
_TABLE = _CELLS | _PARTS | _names("table tr")
_DEEP = 200  # elements: a tag closes one no further out

# What a start tag closes where it is still open, and what it does not look beyond (HTML Standard, 13.1.2.4 "Optional tags").
_CLOSES = {
    "li": (_names("li"), LISTS),
    **dict.fromkeys(("dt", "dd"), (_names("dt dd"), _names("dl"))),
    **dict.fromkeys(_CELLS, (_CELLS, _names("table tr"))),
    "tr": (_names("tr caption"), _WHOLE),
    **dict.fromkeys(_PARTS, (_PARTS, _WHOLE)),
    "a": (_names("a"), BLOCKS),
    **dict.fromkeys(HEADINGS, (HEADINGS, BLOCKS - HEADINGS)),
}

# A tag is whole where it ends before another begins, quoted values aside; in "if a<b then c. More c>d" there is none. A quote
# behind which a word follows is no closing one, but opens the next value: the first was never closed.
_NAME = r"[a-zA-Z][\w.-]*+(?::[\w.-]++)?+(?=[\s/>])(?![^<>=]*\w[.!?]\s)"
_VALUES = r"(?:[^<>=]++|=\s*(?:\"[^\"]*\"|'[^']*')(?=[\s/>]|[\w-]+=)|=(?!\s*[\"']))*+"
TAG = rf"</?{_NAME}{_VALUES}>"
_MARKUP = regex.compile(rf"<!--|<[!?][a-zA-Z\[][^<>]*>|<(/?)({_NAME})({_VALUES})>")
_ATTRIBUTE = regex.compile(r"""([^\s=/"'<>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+)))?""")
_RAW_END = regex.compile(rf"</({'|'.join(sorted(_RAW))})(?=[\s/>])", regex.I)


class Text(NamedTuple):
    """Characters `start` to `end` of a page, and what they say to who reads it."""

    start: int
    end: int
    said: str


@dataclass(slots=True)
class Element:
    """An element: its start tag is from `start` to `inner`, its end tag (where there is one) from `close` to `end`."""

    tag: str
    attributes: dict[str, str]
    start: int
    inner: int
    line: int
    close: int = 0
    end: int = 0
    is_closed: bool = False  # by an end tag, or by a tag before which that may be left out
    has_blocks: bool = False
    children: "list[Element | Text]" = field(default_factory=list)

    @property
    def is_block(self) -> bool:
        """Whether it stands on lines of its own."""
        return self.has_blocks or self.tag in BLOCKS

    def elements(self) -> "Iterator[Element]":
        """It and all elements in it, in their order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += [child for child in reversed(element.children) if isinstance(child, Element)]

    def texts(self) -> Iterator[str]:
        """All that is said in it."""
        waiting: list[Element | Text] = [self]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Text):
                yield node.said
            else:
                waiting += reversed(node.children)


def read(text: str) -> Element:
    """The tree of a page or of a part of one."""
    root = Element("", {}, 0, 0, 1)
    tree, begin, at, counted = _Tree([root]), 0, 0, 0
    comments = text.rfind("-->")
    raw: dict[str, list[int]] = {name: [] for name in _RAW}
    for end in _RAW_END.finditer(text):
        raw[end[1].lower()].append(end.start())
    while found := _MARKUP.search(text, at):
        start, at = found.span()
        comment = found[0] == "<!--"
        if comment and comments < start + 2:
            continue
        tree.say(text, begin, start)
        begin = at = text.find("-->", start + 2) + 3 if comment else at
        if not found[2]:
            continue
        name = found[2].lower()
        tree.line += text.count("\n", counted, start)
        counted = start
        if found[1]:
            tree.end(name, start, at)
            continue
        tree.start(name, found[3], start, at)
        ends = raw.get(name, [])
        after = bisect.bisect_left(ends, at)
        if after < len(ends) and not found[3].endswith("/"):
            at = ends[after]
    tree.say(text, begin, len(text))
    tree.close(1, len(text))
    return root


@dataclass
class _Tree:
    """The elements that are open while a page is read, from the outermost, and the line that is read."""

    open: list[Element]
    line: int = 1

    def say(self, text: str, start: int, end: int) -> None:
        """Text."""
        if self.open[-1].tag == "head" and text[start:end].strip():
            self._imply(_HEAD, frozenset(), start)
        if end > start:
            self.open[-1].children.append(Text(start, end, html.unescape(text[start:end])))

    def start(self, name: str, attributes: str, start: int, end: int) -> None:
        """A start tag."""
        if self.open[-1].tag == "head" and name not in _IN_HEAD:
            self._imply(_HEAD, frozenset(), start)
        if name in _CLOSES:
            self._imply(*_CLOSES[name], start)
        if name in BLOCKS and not (name == "title" and self._nearest(_DRAWING, BLOCKS) is not None):
            self._imply(frozenset(("p",)), BLOCKS, start)
            for outer in reversed(self.open):
                if outer.has_blocks:
                    break
                outer.has_blocks = True
        known = {}
        for one in _ATTRIBUTE.finditer(attributes):
            known.setdefault(one[1].lower(), html.unescape(one[2] or one[3] or one[4] or ""))
        element = Element(name, known, start, end, self.line, end, end)
        self.open[-1].children.append(element)
        if name not in _VOID and not attributes.endswith("/"):
            self.open.append(element)

    def end(self, name: str, start: int, end: int) -> None:
        """An end tag; one that closes nothing is nothing."""
        if name in ("html", "body"):  # what stands behind it is part of the page
            return
        beyond = _WHOLE if name in _TABLE else _CELLS if name in BLOCKS else BLOCKS
        at = self._nearest(HEADINGS if name in HEADINGS else frozenset((name,)), beyond)
        if at is not None:
            element = self.open[at]
            self.close(at, start)
            element.end, element.is_closed = end, True

    def _imply(self, names: frozenset[str], beyond: frozenset[str], start: int) -> None:
        at = self._nearest(names, beyond)
        if at is not None:
            self.open[at].is_closed = True
            self.close(at, start)

    def _nearest(self, names: frozenset[str], beyond: frozenset[str]) -> int | None:
        for at in range(len(self.open) - 1, max(0, len(self.open) - _DEEP), -1):
            if self.open[at].tag in names:
                return at
            if self.open[at].tag in beyond:
                return None
        return None

    def close(self, at: int, start: int) -> None:
        """All from the `at`-th on end."""
        for element in self.open[at:]:
            element.close = element.end = start
        del self.open[at:]
