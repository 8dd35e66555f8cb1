"""Plain text: lines that were wrapped are joined, lines that list are not; list items, quotations, headings, running heads."""

import itertools
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass

import regex

from llmattr.text.split.blocks import Block, Kind, Line, lines_of, says_something

# What opens a list item: a bullet, a number of any depth, a letter or a roman number, each with its stop.
MARKER = regex.compile(
    r"\s*(?:[-*+•‣◦▪·–—]|\(?(?:\d{1,3}(?:\.\d{1,3})*[.)]|\d{1,3}(?:\.\d{1,3})+|[a-zA-Z][.)]|[ivxlcIVXLC]{1,6}[.)])\)?)\s+(?=\S)"
)
SENTENCE_END = regex.compile(r"[.!?:;。！？…।॥؟۔។៕။][\"'”’»)\]*_」』）]*\s*$")
_LETTER = regex.compile(r"\p{L}\.\s")
_GREETING = regex.compile(
    r"(?:dear|hi|hello|hallo|lieber?|guten \w+|sehr geehrte[rs]?|bonjour|chère?|hola|estimad[oa]s?)\b.{0,40},$", regex.I
)
_QUOTE = regex.compile(r"\s*(?:>\s?)+")
_HYPHEN = regex.compile(r"\p{L}[-\u00ad\u2010]$")
_UNDERLINE = regex.compile(r"\s*(=+|-+|~+|\*+|\^+)\s*$")
_CJK_END = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}、，；：]$")
_PAGE_NUMBER = regex.compile(
    r"\s*(?:[-–—|\[]\s*)?(?:(?:page|seite|página|sivu|стр\.?|p\.)\s*)?\d{1,4}(?:\s*(?:/|of|von|de|sur|из)\s*\d{1,4})?(?:\s*[-–—|\]])?\s*$",
    regex.I,
)
_EDGE_NUMBER = regex.compile(r"\s*(?:\S.{0,70}?\S\s{3,}+[-–—|]?\s*\d{1,4}|\d{1,4}\s{3,}+\S.{0,70})\s*$")
_TITLE = regex.compile(r"(?!\p{Ll})[^\n\r]{2,80}(?<![.!?:;,。！？…।؟។៖៕៖၊။»”\"')])$")
_NARROW, _WIDE = 20, 40  # columns: a line shorter than the first is no wrapped one, one as long as the second may always be
_FULL = 0.85  # of the widest line: one that is longer is full, whatever comes behind
_REPEATED = 3  # a line that stands alone so often is a running head


def blocks(text: str) -> list[Block]:
    """The blocks of a plain text, one for each run of lines that a reader would read on through."""
    lines = lines_of(text)
    return _with_titles(text, blocks_around(lines, frozenset(), _running_heads(lines)))


def blocks_around(lines: list[Line], furniture: Set[int], heads: Set[int] = frozenset()) -> list[Block]:
    """The blocks of lines of which some, by where they start, are furniture, each for itself, and others running heads."""
    found: list[Block] = []
    for run in _runs(lines, furniture, heads):
        if run[0].start in furniture:
            found.append(_block(run, "furniture", False))
        elif not says_something(run[-1].text):
            found.append(_block(run[:1], "heading", False))
        else:
            found += _joined(run)
    return found


def prose(text: str, kind: Kind) -> list[Block]:
    """A paragraph of another format, with the kind that it has there: its lines are joined or parted as in plain text."""
    runs = _runs(lines_of(text), frozenset(), frozenset())
    return [block._replace(kind=kind) for run in runs for block in _joined(run)]


def said(line: Line) -> str:
    """A line without its quotation marks and indent."""
    return _QUOTE.sub("", line.text).strip() if _depth(line) else line.text.strip()


def _runs(lines: list[Line], furniture: Set[int], heads: Set[int]) -> Iterator[list[Line]]:
    """Lines between what no sentence goes on over: blank lines, rules, list marks, furniture, another depth of quotation.

    A sentence goes on over a running head. A title comes with the rule below it.
    """
    run: list[Line] = []
    blank = head = False
    for line in lines:
        text = said(line)
        head = head or line.start in heads
        if line.start in heads or not text:
            blank = True
            continue
        rule = not says_something(text) and line.start not in furniture
        if run and _parts(run, line, text, blank and not (head and _is_open(run[-1], text)), furniture):
            title = rule and len(run) == 1 and not blank and _UNDERLINE.match(text)
            yield [*run, line] if title else run
            run = []
        run += [] if rule else [line]
        blank = head = False
    if run:
        yield run


def _parts(run: list[Line], line: Line, text: str, blank: bool, furniture: Set[int]) -> bool:
    """Whether a line begins something else than the run before it."""
    apart = blank or line.start in furniture or run[-1].start in furniture or not says_something(text)
    named = _LETTER.match(text) and not MARKER.match(said(run[0])) and not SENTENCE_END.search(run[-1].text)  # "by\nA. Okoro"
    return apart or bool(MARKER.match(text) and not named) or _depth(line) != _depth(run[-1])


def _is_open(line: Line, after: str) -> bool:
    return not SENTENCE_END.search(line.text) and (after[:1].islower() or bool(_HYPHEN.search(line.text)))


def _joined(run: list[Line]) -> list[Block]:
    """One block for each stretch of lines that were wrapped."""
    texts = [said(line) for line in run]
    kind: Kind = "item" if MARKER.match(texts[0]) else "quote" if _depth(run[0]) else "paragraph"
    shape = _Shape.of(texts)
    found, begin = [], 0
    for i in range(1, len(run) + 1):
        if i < len(run) and shape.wraps(texts[i - 1], texts[i]):
            continue
        found.append(_block(run[begin:i], kind if begin == 0 or kind == "quote" else "paragraph"))
        begin = i
    return found


def _block(lines: list[Line], kind: Kind, quotable: bool = True) -> Block:
    first = lines[0]
    start = _QUOTE.match(first.text).end() if _depth(first) else 0  # type: ignore[union-attr]  # it matched
    start += len(first.text[start:]) - len(first.text[start:].lstrip())
    return Block(first.start + start, lines[-1].start + len(lines[-1].text.rstrip()), kind, quotable)


def _with_titles(text: str, blocks: list[Block]) -> list[Block]:
    """Lines that stand alone above others and end with no stop are headings."""
    found = list(blocks)
    for i, (block, after) in enumerate(itertools.pairwise(blocks)):
        line = text[block.start : block.end]
        before = text[blocks[i - 1].end if i else 0 : block.start]
        alone = (not i or _is_blank(before)) and _is_blank(text[block.end : after.start])
        listed = block.kind == "item" and (after.kind == "item" or (i > 0 and blocks[i - 1].kind == "item"))
        if alone and not listed and block.kind in ("paragraph", "item") and after.kind != "heading" and _TITLE.match(line):
            found[i] = block._replace(kind="heading", quotable=False)
    return found


def _is_blank(between: str) -> bool:
    return between.count("\n") + between.count("\r") > 1 + between.count("\r\n")


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
        if _GREETING.match(line):
            return False
        if self.flows and (after[:1].islower() or _HYPHEN.search(line)):
            return True
        if self.lists:
            return False
        if _CJK_END.search(line):
            return len(line) >= max(_NARROW // 2, self.width - 2)
        full = len(line) + 1 + len(after.split(maxsplit=1)[0]) > self.width or len(line) > _FULL * self.width
        return full and len(line) >= (_NARROW if self.flows else _WIDE) and (self.flows or not SENTENCE_END.search(line))


def _depth(line: Line) -> int:
    found = _QUOTE.match(line.text)
    return found[0].count(">") if found else 0


def _running_heads(lines: list[Line]) -> set[int]:
    """Where running heads and page numbers start: lines alone that stand again and again, or have a number at their edge."""
    alone = [line for line, (before, after) in zip(lines, _neighbours(lines), strict=True) if not before and not after]
    shapes = {line.start: regex.sub(r"\d+", "0", line.text.strip()) for line in alone if says_something(line.text)}
    counts = Counter(shapes.values())
    numbered = {
        line.start for line in alone if len(lines) > 5 and (_PAGE_NUMBER.match(line.text) or _EDGE_NUMBER.match(line.text))
    }
    repeated = {start for start, shape in shapes.items() if counts[shape] >= _REPEATED and len(shape) < 100}
    return (numbered & set(shapes)) | (repeated - {line.start for line in alone if MARKER.match(line.text)})


def _neighbours(lines: list[Line]) -> Iterator[tuple[str, str]]:
    """What stands above and below each line."""
    texts = ["", *(line.text.strip() for line in lines), ""]
    return zip(texts, texts[2:], strict=False)
