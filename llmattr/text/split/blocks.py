"""What a text is made of: blocks, each a stretch of characters that is of one kind."""

import html
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import regex

from llmattr.core.sources import Kind
from llmattr.text.split.tags import TAG

BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
WHITE = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"  # with what takes no room at all
PROSE: tuple[Kind, ...] = ("paragraph", "item", "quote")  # sentences are cut in these alone

SENTENCE_END = regex.compile(r"[.!?:;。！？…।॥؟۔។៕။][\"'”’»)\]*_」』）]*\s*$")
ASKS = regex.compile(r"[?:;？：؟]\s*$")  # what comes behind it is an answer
_QUOTE = regex.compile(r"\s*(?:>\s?)+")
_LINE = regex.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
# A link to the top of the page, references back from a note, and marks that say nothing themselves.
UP = regex.compile(r"\W*(?:(?:back|return|go|jump|skip) )?to (?:the )?(?:top|(?:main )?content|navigation)\W*", regex.I)
_WAY_BACK = regex.compile(
    rf"^[\s*_(-]*\[{UP.pattern}\]\(#[^)\s]*\)[\s*_)]*$|(?:\[?↩\ufe0e?(?:\]\(#[^)\s]*\))?[\d\s]*)+$", regex.I
)
_MARKS = regex.compile(
    rf"\\[\p{{P}}\p{{S}}]|(?<!`)(`++)[^\n]*?(?<!`)\1(?!`)|<!--.*?-->|<[!?][a-zA-Z\[][^<>]*>|{TAG}|&#?\w+;?", regex.S
)


class Block(NamedTuple):
    """Characters `start` to `end` of a text, what they are, and whether a reader would point at them."""

    start: int
    end: int
    kind: Kind
    quotable: bool = True


class Line(NamedTuple):
    """A line of a text without its break: where it starts and what it says."""

    start: int
    text: str

    @property
    def end(self) -> int:
        """Where it ends, before its break."""
        return self.start + len(self.text)

    @property
    def indent(self) -> int:
        """How far it is set in, in columns; a tab goes to the next fourth."""
        white = self.text[: len(self.text) - len(self.text.lstrip(" \t"))]
        return len(white.expandtabs(4))

    @property
    def quoted(self) -> str:
        """The marks of a quotation that it begins with."""
        found = _QUOTE.match(self.text) if ">" in self.text else None
        return found[0] if found else ""

    @property
    def depth(self) -> int:
        """How often it is quoted."""
        return self.quoted.count(">")

    @property
    def said(self) -> str:
        """What it says, without these marks and the white space around it."""
        return self.text[len(self.quoted) :].strip()


def lines_of(text: str) -> list[Line]:
    """The lines, parted at every break that Unicode has."""
    lines = text.splitlines(keepends=True)
    starts = itertools.accumulate(map(len, lines), initial=0)
    return [Line(start, line.rstrip(BREAKS)) for start, line in zip(starts, lines, strict=False)]


def newlines_of(text: str) -> list[Line]:
    r"""The lines, parted at `\n`, `\r` and `\r\n` alone, as the readers of Markdown and Python do."""
    return [Line(line.start(), line[0].rstrip("\r\n")) for line in _LINE.finditer(text)]


def shifted(blocks: list[Block], by: int) -> list[Block]:
    """Blocks of a part of a text as blocks of the whole, in which the part starts at character `by`."""
    return [block._replace(start=block.start + by, end=block.end + by) for block in blocks]


def trimmed(block: Block, text: str) -> Block:
    """The block without the white space around it."""
    said = text[block.start : block.end]
    start = block.start + len(said) - len(said.lstrip(WHITE))
    return block._replace(start=start, end=start + len(said.strip(WHITE)))


def says_something(text: str) -> bool:
    """Whether there is a letter or a digit in it: rules, fences and list marks are never sources."""
    return any(map(str.isalnum, text))


def seen(text: str) -> str:
    """What a reader sees of HTML or of a line of Markdown: no tags, characters for their names, no way back in the page."""
    return _WAY_BACK.sub("", _MARKS.sub(_seen, text))


def _seen(mark: regex.Match[str]) -> str:
    return mark[0] if mark[0][0] in "`\\" else "" if mark[0][0] == "<" else html.unescape(mark[0])


def runs(lines: list[Line]) -> Iterator[list[Line]]:
    """Lines between blank lines."""
    run: list[Line] = []
    for line in lines:
        if line.text.strip():
            run.append(line)
        elif run:
            yield run
            run = []
    if run:
        yield run


def is_blank(between: str) -> bool:
    """Whether what stands between two lines is a blank line or more, or the end of a page."""
    return between.count("\n") + between.count("\r") > 1 + between.count("\r\n") or "\f" in between
