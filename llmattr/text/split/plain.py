"""Plain text: lines that were wrapped are joined, lines that list are not; list items, quotations, headings, running heads."""

import itertools
from collections.abc import Iterator, Set
from dataclasses import dataclass

import regex

from llmattr.text.split.abbreviations import is_before_a_name
from llmattr.text.split.blocks import ASKS, SENTENCE_END, Block, Kind, Line, is_blank, lines_of, says_something
from llmattr.text.split.pages import running_heads

# What opens a list item: a bullet, a number of any depth, a letter or a roman number, each with its stop.
_NAMED = r"M\.\s+\p{Lu}|\p{Lu}\.\s+\p{Lu}[\p{L}'’-]+,\s+\p{Lu}\."  # "M. Dupont", "A. Smith, B. Jones"
MARKER = regex.compile(
    rf"\s*(?:[-*+•‣◦▪·–—]|(?!{_NAMED})\(?(?:\d{{1,3}}(?:\.\d{{1,3}})*[.)]|\d{{1,3}}(?:\.\d{{1,3}})+(?!\)?\s+\p{{Ll}})"
    r"|\p{L}\p{M}*[.)]|[ivxlcIVXLC]{1,6}[.)])\)?)\s+(?=\S)"
    r"|\s*\[\d{1,3}\]\s+(?=[^\p{Ll}\s])"
)
_REFERENCE = regex.compile(  # of a list of them: a number, who with initials, and in which year
    r"\[\d{1,3}\]\s+(?:(?:\p{Lu}\p{Ll}?\.[\s-]?)+\p{Lu}\p{Ll}|\p{Lu}[\p{L}'’-]+,\s\p{Lu}\p{Ll}?\.).*\b(?:1[5-9]|20)\d\d\b"
)
_CELLS = regex.compile(r"\S[ ]*\t\s*\S")
_STAMPED = regex.compile(  # an entry of a log or a chat begins with its time, a shell's with its prompt
    r"[\[(<]?(?:(?:\p{Lu}\p{Ll}{2,8}\.?,?\s+){0,2}(?:\d{1,2}\s+)?(?:\d{1,4}([-/.])\d{1,2}\1\d{1,4}|\d{1,2}:\d{2})\b)|\$\s"
)
_COMMAND = regex.compile(r"\$\s[\p{Ll}.~/]")
_COLUMNS = regex.compile(r"(?=.*\d).*[^\s.!?:;,]\s{2,}\S")
_LETTER = regex.compile(r"\p{L}\.\s")
_GREETING = regex.compile(
    r"(?:dear|hi|hello|hallo|lieber?|guten \w+|sehr geehrte[rs]?|bonjour|chère?|hola|estimad[oa]s?)\b.{0,40},$", regex.I
)
_QUOTE = regex.compile(r"\s*(?:>\s?)+")
_HYPHEN = regex.compile(r"\p{L}[-\u00ad\u2010]$")
_UNDERLINE = regex.compile(r"\s*(=+|-+|~+|\*+|\^+)\s*$")
_OPEN = regex.compile(  # a word that no line of a list ends with
    r"\b(?:the|a|an|of|to|in|and|or|is|are|was|were|be|by|for|from|with|that|as|at|its|their|about|into|than|over|under|between|after|before|through|during|which|who|when|where|while|because|but|if|der|die|das|den|dem|ein|eine|und|von|zu|mit|ist"
    r"|le|la|les|de|du|des|un|une|et|à|est|el|los|las|del|y|en|con|por|que|по|на|от|для|и|в|с|του|της|το|και|να)$"
)
_CJK_END = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}、，；：]$")
_TITLE = regex.compile(r"(?!\p{Ll})(?=.*\p{L})[^\n\r]{2,80}(?<![.!?:;,。！？…।؟។៖៕៖၊။»”\"')])$")
_VERB = regex.compile(  # of a sentence without its stop
    r"\b(?:is|are|was|were|has|have|ist|sind|wird|wurde|hat|est|sont|était|es|fue|está|είναι|ήταν|है|हैं|था|थी|थे)\b"
    r"|[うくすつぬむるただいね]$|[다요]$"
)
_TITLE_NUMBER = regex.compile(r"(?:\p{L}+ )?\d+(?:\.\d)*[.):]?(?!\S)")  # "2.1", "Chapter 3:"
_FACT = regex.compile(
    r"(?<!\d)(?!(?:1\d|20)\d\d(?!\d))\d|\w: [\p{Ll}\d]"
)  # "Flight 12", "Pros: light"; a year may be of a title
_NARROW, _WIDE = 20, 40  # columns: a line shorter than the first is no wrapped one, one as long as the second may always be
_FULL = 0.85  # of the widest line: one that is longer is full, whatever comes behind


def blocks(text: str) -> list[Block]:
    """The blocks of a plain text, one for each run of lines that a reader would read on through."""
    lines = lines_of(text)
    return _with_titles(text, blocks_around(lines, frozenset(), running_heads(text, lines)))


def blocks_around(lines: list[Line], furniture: Set[int], heads: Set[int] = frozenset()) -> list[Block]:
    """The blocks of lines of which some, by where they start, are furniture, each for itself, and others running heads."""
    found: list[Block] = []
    for run in _runs(lines, furniture, heads):
        if run[0].start in furniture:
            found.append(_block(run, "furniture", False))
        elif not says_something(run[-1].text):
            titled = not SENTENCE_END.search(run[0].text) and not _is_fact(said(run[0]))
            found.append(_block(run[:1], "heading" if titled else "paragraph", not titled))
        else:
            found += _joined(run)
    return found


def prose(text: str, kind: Kind) -> list[Block]:
    """A paragraph of another format, with the kind that it has there: its lines are joined or parted as in plain text."""
    runs = _runs(lines_of(text), frozenset(), frozenset())
    found = [block for run in runs for block in _joined(run)]
    return [block if block.kind in ("row", "code") else block._replace(kind=kind) for block in found]


def said(line: Line) -> str:
    """A line without its quotation marks and indent."""
    return _QUOTE.sub("", line.text).strip() if depth(line) else line.text.strip()


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
        if run and _parts(run, line, text, blank and not (head and is_open(run[-1].text, text)), furniture):
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
    return apart or bool(MARKER.match(text) and not named) or depth(line) != depth(run[-1])


def is_open(line: str, after: str) -> bool:
    """Whether a sentence goes on in what comes behind a line: in a small letter, or it breaks off in a word or behind one."""
    return not SENTENCE_END.search(line) and (after[:1].islower() or bool(_HYPHEN.search(line) or _OPEN.search(line)))


def _joined(run: list[Line]) -> list[Block]:
    """One block for each stretch of lines that were wrapped."""
    texts = [said(line) for line in run]
    if _REFERENCE.match(" ".join(texts)):
        return [_block(run, "row")]
    set_apart = any(all(map(cells, texts)) for cells in (_CELLS.search, _COLUMNS.match))
    if len(run) > 1 and set_apart and not any(map(MARKER.match, texts)):
        return [_block([line], "row") for line in run]
    kind: Kind = "item" if MARKER.match(texts[0]) else "quote" if depth(run[0]) else "paragraph"
    shape = _Shape.of(texts)
    entries = {i for i, text in enumerate(texts) if _STAMPED.match(text)}
    is_log = 0 in entries
    found, begin = [], 0
    for i in range(1, len(run) + 1):
        if i < len(run) and not (is_log and i in entries) and shape.wraps(texts[i - 1], texts[i]):
            continue
        own = kind if begin == 0 or kind == "quote" else "paragraph"
        found.append(_block(run[begin:i], "code" if is_log and _COMMAND.match(texts[begin]) else own))
        begin = i
    return found


def _block(lines: list[Line], kind: Kind, quotable: bool = True) -> Block:
    first = lines[0]
    start = _QUOTE.match(first.text).end() if depth(first) else 0  # type: ignore[union-attr]  # it matched
    start += len(first.text[start:]) - len(first.text[start:].lstrip())
    return Block(first.start + start, lines[-1].start + len(lines[-1].text.rstrip()), kind, quotable)


def _with_titles(text: str, blocks: list[Block]) -> list[Block]:
    """Lines alone without a stop are headings: one or two above text that has stops. More of them are a list of facts."""
    found = list(blocks)
    for alike, places in itertools.groupby(range(len(blocks)), lambda i: _is_alone(text, blocks, i)):
        run = list(places)
        above_text = run[-1] + 1 < len(blocks) and blocks[run[-1] + 1].kind != "heading"
        before = text[blocks[run[0] - 1].start : blocks[run[0] - 1].end] if run[0] else ""
        titles = [text[blocks[i].start : blocks[i].end] for i in run]
        if (
            alike
            and len(run) < 3
            and above_text
            and not ASKS.search(before)
            and not any(_is_fact(t) or _VERB.search(t) for t in titles)
        ):
            found[run[0] : run[-1] + 1] = [blocks[i]._replace(kind="heading", quotable=False) for i in run]
    return found


def _is_fact(line: str) -> bool:
    """Whether a line without a stop says something of something."""
    number = _TITLE_NUMBER.match(line)
    return bool(_FACT.search(line, number.end() if number else 0))


def _is_alone(text: str, blocks: list[Block], i: int) -> bool:
    """Whether a block is a line between blank ones that has no stop and is no item of a list."""
    start, end, kind, _ = blocks[i]
    last, after = text[blocks[i - 1].end if i else 0 : start], text[end : blocks[i + 1].start if i + 1 < len(blocks) else None]
    parted = (not i or is_blank(last)) and (i + 1 == len(blocks) or is_blank(after))
    listed = kind == "item" and "item" in [block.kind for block in blocks[max(i - 1, 0) : i] + blocks[i + 1 : i + 2]]
    return parted and not listed and kind in ("paragraph", "item") and bool(_TITLE.match(text[start:end]))


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
        if _OPEN.search(line) or (line.endswith(".") and is_before_a_name(line)):
            return True
        if self.lists:
            return False
        if _CJK_END.search(line):
            return len(line) >= max(_NARROW * 3 // 4, self.width - 2)
        full = len(line) + 1 + len(after.split(maxsplit=1)[0]) > self.width or len(line) > _FULL * self.width
        return full and len(line) >= (_NARROW if self.flows else _WIDE) and (self.flows or not SENTENCE_END.search(line))


def depth(line: Line) -> int:
    """How often it is quoted."""
    found = _QUOTE.match(line.text) if ">" in line.text else None
    return found[0].count(">") if found else 0
