"""Plain text: lines that were wrapped are joined, lines that list are not; list items, quotations, headings, running heads."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import regex

from llmattr.text.split.blocks import Block, Kind, Line, lines_of, says_something

# What opens a list item: a bullet, a number of any depth, a letter or a roman number, each with its stop.
MARKER = regex.compile(
    r"\s*(?:[-*+•‣◦▪·–—]|\(?(?:\d{1,3}(?:\.\d{1,3})*[.)]|\d{1,3}(?:\.\d{1,3})+|[a-zA-Z][.)]|[ivxlcIVXLC]{1,6}[.)])\)?)\s+(?=\S)"
)
SENTENCE_END = regex.compile(r"[.!?:;。！？…।॥؟۔។៕။][\"'”’»)\]*_」』）]*\s*$")
_QUOTE = regex.compile(r"\s*(?:>\s?)+")
_HYPHEN = regex.compile(r"\p{L}[-\u00ad\u2010]$")
_UNDERLINE = regex.compile(r"\s*(=+|-+|~+|\*+|\^+)\s*$")
_CJK_END = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}、，；：]$")
_PAGE_NUMBER = regex.compile(
    r"\s*(?:[-–—|\[]\s*)?(?:(?:page|seite|página|sivu|стр\.?|p\.)\s*)?\d{1,4}(?:\s*(?:/|of|von|de|sur|из)\s*\d{1,4})?(?:\s*[-–—|\]])?\s*$",
    regex.I,
)
_NARROW, _WIDE = 20, 40  # columns: a line shorter than the first is no wrapped one, one as long as the second may always be
_FULL = 0.85  # of the widest line: one that is longer is full, whatever comes behind
_REPEATED = 3  # a line that stands alone so often is a running head


def blocks(text: str) -> list[Block]:
    """The blocks of a plain text, one for each run of lines that a reader would read on through."""
    lines = lines_of(text)
    furniture = _furniture(lines)
    found: list[Block] = []
    for run in _runs(lines, furniture):
        found += _blocks_of(run, furniture)
    return found


def prose(text: str, kind: Kind) -> list[Block]:
    """A paragraph of another format, with the kind that it has there: its lines are joined or parted as in plain text."""
    return [block._replace(kind=kind) for run in _runs(lines_of(text), set()) for block in _joined(run)]


def _runs(lines: list[Line], furniture: set[int]) -> Iterator[list[Line]]:
    """Lines between what no sentence goes on over: blank lines, rules, list marks, running heads, another depth of quotation."""
    run: list[Line] = []
    for line in lines:
        opens = bool(MARKER.match(line.text)) or line.start in furniture or (run and _depth(line) != _depth(run[-1]))
        leaves = run and run[0].start in furniture
        if not says_something(line.text) or opens or leaves:
            if run and _UNDERLINE.match(line.text) and len(run) == 1:
                run.append(line)
            if run:
                yield run
            run = []
        if says_something(line.text):
            run.append(line)
    if run:
        yield run


def _blocks_of(run: list[Line], furniture: set[int]) -> list[Block]:
    first = run[0]
    if first.start in furniture:
        return [_block([first], "furniture", False)]
    if len(run) == 2 and not says_something(run[1].text):
        return [_block(run[:1], "heading", False)]
    return _joined(run)


def _joined(run: list[Line]) -> list[Block]:
    """One block for each stretch of lines that were wrapped."""
    kind: Kind = "item" if MARKER.match(run[0].text) else "quote" if _depth(run[0]) else "paragraph"
    texts = [_said(line) for line in run]
    shape = _Shape.of(texts)
    found, begin = [], 0
    for i in range(1, len(run) + 1):
        if i < len(run) and shape.wraps(texts[i - 1], texts[i]):
            continue
        found.append(_block(run[begin:i], kind if begin == 0 or kind == "quote" else "paragraph"))
        begin = i
    return found


def _block(lines: list[Line], kind: Kind, quotable: bool = True) -> Block:
    start = lines[0].start + len(lines[0].text) - len(lines[0].text.lstrip())
    return Block(start, lines[-1].start + len(lines[-1].text.rstrip()), kind, quotable)


@dataclass(frozen=True)
class _Shape:
    """How the lines of a paragraph are set: how wide, whether as running text, or as a list."""

    width: int
    flows: bool
    lists: bool

    @staticmethod
    def of(texts: list[str]) -> "_Shape":
        small = [text[:1].islower() for text in texts]
        words = all(small) and not any(map(SENTENCE_END.search, texts))  # a list of words in lower case
        flows = (any(small[1:]) and not words) or any(map(_HYPHEN.search, texts[:-1]))
        capitals = any(text[:1].isupper() for text in texts) and not "".join(texts).isupper()
        return _Shape(max(map(len, texts)), flows, capitals and len(texts) > 2 and not flows)

    def wraps(self, line: str, after: str) -> bool:
        """Whether the sentence may go on in the line after: it is set in lower case, or its first word had no room here."""
        if self.flows and (after[:1].islower() or _HYPHEN.search(line)):
            return True
        if self.lists:
            return False
        if _CJK_END.search(line):
            return len(line) >= max(_NARROW // 2, self.width - 2)
        full = len(line) + 1 + len(after.split(maxsplit=1)[0]) > self.width or len(line) > _FULL * self.width
        return full and len(line) >= (_NARROW if self.flows else _WIDE) and (self.flows or not SENTENCE_END.search(line))


def _said(line: Line) -> str:
    """A line without its quotation marks and indent."""
    return _QUOTE.sub("", line.text).strip() if _depth(line) else line.text.strip()


def _depth(line: Line) -> int:
    found = _QUOTE.match(line.text)
    return found[0].count(">") if found else 0


def _furniture(lines: list[Line]) -> set[int]:
    """Where running heads and page numbers start: short lines that stand again and again beside a blank line or a page break."""
    alone = [i for i, line in enumerate(lines) if says_something(line.text) and _edge(lines, i)]
    shapes = {i: regex.sub(r"\d+", "0", lines[i].text.strip()) for i in alone}
    counts = Counter(shapes.values())
    return {
        lines[i].start
        for i, shape in shapes.items()
        if len(shape) < 100
        and not MARKER.match(lines[i].text)
        and (counts[shape] >= _REPEATED or (_PAGE_NUMBER.match(lines[i].text) and len(lines) > 5))
    }


def _edge(lines: list[Line], i: int) -> bool:
    """Whether a line stands between blank lines, or the ends of the text."""
    before = not i or not lines[i - 1].text.strip()
    return before and (i + 1 == len(lines) or not lines[i + 1].text.strip())
