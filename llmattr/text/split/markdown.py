"""Markdown, by markdown-it: its tokens say which lines are what; what is inside a line is found in the source."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import regex

from llmattr.text.split import code, html, plain
from llmattr.text.split.blocks import Block, Kind, Line, newlines_of, says_something, shifted
from llmattr.text.split.reasoning import parts

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_QUOTES = regex.compile(r"\s*(?:>\s?)*\s*")
_IMAGE = regex.compile(r"!\[[^\]\n]{0,300}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]{0,300}\])")
_EMPTY_LINK = regex.compile(r"\[ {0,9}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]*\])")


def blocks(text: str) -> list[Block]:
    """The blocks of a Markdown text; what stands in a reasoning cannot be quoted."""
    return [
        block._replace(quotable=block.quotable and not part.is_reasoning)
        for part in parts(text)
        for block in _of_part(text, part.start, part.end)
    ]


def answer(text: str) -> list[Block]:
    """The blocks of a model's answer: Markdown in which code is one piece."""
    found: list[Block] = []
    for block in blocks(text):
        if found and block.kind == found[-1].kind == "code" and not text[found[-1].end : block.start].strip():
            found[-1] = found[-1]._replace(end=block.end)
        else:
            found.append(block)
    return found


@cache
def _reader() -> "MarkdownIt":
    from markdown_it import MarkdownIt
    from mdit_py_plugins.footnote import footnote_plugin
    from mdit_py_plugins.front_matter import front_matter_plugin

    reader = MarkdownIt("commonmark").enable("table").use(front_matter_plugin).use(footnote_plugin)
    reader.core.ruler.disable(["inline", "footnote_tail"])  # only blocks are asked for
    return reader


def _of_part(text: str, start: int, end: int) -> list[Block]:
    part = text[start:end]
    lines = newlines_of(part)
    return shifted([block for token in _leaves(part) for block in _of_leaf(*token, part, lines)], start)


def _leaves(part: str) -> "Iterator[tuple[Token, Kind]]":
    """The tokens that hold text, each with the kind of what it stands in."""
    inside: list[Kind] = []
    head = False
    for token in _reader().parse(part):
        if token.type in ("list_item_open", "blockquote_open"):
            inside.append("item" if token.type == "list_item_open" else "quote")
        elif token.type in ("list_item_close", "blockquote_close"):
            inside.pop()
        elif token.type in ("thead_open", "thead_close"):
            head = token.type == "thead_open"
        elif token.type == "tr_open":
            yield token, "markup" if head else "row"
        elif token.type == "heading_open":
            yield token, "heading"
        elif token.map and token.type in ("paragraph_open", "fence", "code_block", "html_block"):
            yield token, inside[-1] if inside else "paragraph"


def _of_leaf(token: "Token", kind: Kind, part: str, lines: list[Line]) -> list[Block]:
    first, last = token.map or (0, 0)
    if token.type == "fence":
        closed = last - 1 > first and set(lines[last - 1].text.strip(" \t>")) == set(token.markup[0])
        first, last = first + 1, last - 1 if closed else last
    if token.type == "heading_open" and token.markup in ("=", "-"):
        last -= 1
    while last > first and not lines[last - 1].text.strip(" \t>"):
        last -= 1
    if first >= last:
        return []
    start, end = lines[first].start, lines[last - 1].end
    if token.type in ("fence", "code_block"):
        return shifted(code.blocks(part[start:end]), start)
    if token.type == "html_block":
        return shifted(html.blocks(part[start:end]), start)
    start = _QUOTES.match(part, start, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    end = start + len(part[start:end].rstrip())
    if token.type == "paragraph_open":
        said = _EMPTY_LINK.sub("", _IMAGE.sub("", part[start:end]))
        begin = lines[first].start  # with the quotation marks before its first word, as its other lines have them
        return shifted(plain.prose(part[begin:end], kind), begin) if says_something(said) else []
    return [Block(start, end, "row" if kind == "markup" else kind, kind == "row")]
