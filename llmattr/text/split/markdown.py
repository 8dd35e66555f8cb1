"""Markdown, by markdown-it: its tokens say which lines are what; what is inside a line is found in the source."""

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import regex

from llmattr.text.split import code, html, plain
from llmattr.text.split.blocks import Block, Kind, Line, newlines_of, says_something, shifted
from llmattr.text.split.breaks import rejoined
from llmattr.text.split.reasoning import parts
from llmattr.text.split.wrapping import is_list

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

Prose = Callable[[str, Kind], list[Block]]
_QUOTES = regex.compile(r"\s*(?:>\s?)*\s*")
_IMAGE = regex.compile(r"!\[[^\]\n]{0,300}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]{0,300}\])")
_ALERT = regex.compile(r"\s*(?:>\s?)+\[!\w+\]\s*")
_FRONT = regex.compile(
    r"\A(---|\+\+\+)[ \t]*\r?\n(?=\S)(?:(?:[\w.-]+[ \t]*[:=].*|[ \t]+.*|- .*|[#\]}].*|[ \t\r]*)\n)*+\1[ \t]*(?:\r?\n|\Z)"
)
_NAME = regex.compile(r"\s*[\w.-]+|\{[^}]*\}")  # of an admonition, before its title
_BOLD = regex.compile(
    r"(\*\*|__)(?![^\n]*: [^\n]*\d)(?:\d+(?:\.\d+)*[.)]\s)?[\p{Lu}\p{Lo}][^*_\n]{0,80}(?<![.!?:;,。！？…।])\1"
)
_LABEL = regex.compile(r"(\*\*|__)[^*_\n]{1,80}(?<![.!?。！？])\1:?")
_STOP = regex.compile(r"[.!…。！।॥۔។][\"'”’»)\]*_」』）]*+$")  # a heading may end in a question
_HARD_BREAK = regex.compile(  # or a line that is bold as a whole: "> **Note**"
    r"(?:(?<! ) {2,}+|\\|<br\s*/?>[ \t]*)\r?\n|^(?:[ \t]*>)*[ \t]*(\*\*|__)[^*_\n]+\1[ \t]*\r?\n", regex.M
)
_RULE = regex.compile(r"[ \t>]*([=*_~#+-])\1{2,}+[ \t]*$")  # above a paragraph, with no blank line between
_DEEP = 100  # levels, two to a list: what is set in further is one paragraph
_NAMED_TAG = regex.compile(r"\s*(?:>\s?)*<[a-z]\w*>[ \t]+\p{Ll}")  # "<div> is a tag that groups"
_LINKS = 3  # items of a list of links, at least
_LINK = regex.compile(r"(?:[^\p{L}\[\]\n]*\[[^\[\]\n]{1,300}\](?:\([^()\n]{0,2000}\)|\[[^\[\]\n]{0,300}\]))++[^\p{L}\[\]\n]*")
_EMPTY_LINK = regex.compile(r"(?<!\\)\[ {0,9}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]*\])")


def blocks(text: str) -> list[Block]:
    """The blocks of a Markdown document; words in bold that stand alone between two of its paragraphs are a heading."""
    found = _with_reasoning(text, _hard_lines)
    for i, (before, block, after) in enumerate(zip(found, found[1:], found[2:], strict=False), 1):
        answers = before.kind == "heading" or text[before.end - 1] in "?？:："
        alone = block.kind == "paragraph" and _BOLD.fullmatch(text, block.start, block.end)
        if alone and not answers and after.kind != "heading" and not _BOLD.fullmatch(text, after.start, after.end):
            found[i] = block._replace(kind="heading", quotable=False)
    return _with_contents(text, found)


def _with_contents(text: str, found: list[Block]) -> list[Block]:
    """The same with lists of links alone as furniture, three items or more, unless the page has nothing else to quote."""
    runs = [list(run) for _, run in itertools.groupby(found, key=lambda block: _is_link(text, block))]
    contents = {block for run in runs if len(run) >= _LINKS and _is_link(text, run[0]) for block in run}
    if not any(block.quotable for block in found if block not in contents):
        return found
    return [block._replace(kind="furniture", quotable=False) if block in contents else block for block in found]


def _is_link(text: str, block: Block) -> bool:
    return block.kind == "item" and bool(_LINK.fullmatch(text, block.start, block.end))


def _with_reasoning(text: str, prose: Prose) -> list[Block]:
    """The blocks of a Markdown text, whose paragraphs are cut by `prose`; what stands in a reasoning cannot be quoted."""
    return [
        block._replace(quotable=block.quotable and not part.is_reasoning)
        for part in parts(text)
        for block in _of_part(text, part.start, part.end, prose)
    ]


def answer(text: str) -> list[Block]:
    """The blocks of a model's answer: Markdown in which code is one piece, and lines are as often meant as they are wrapped.

    One of headings alone says what they say.
    """
    found: list[Block] = []
    for block in _with_reasoning(text, plain.prose):
        if found and block.kind == found[-1].kind == "code" and not text[found[-1].end : block.start].strip():
            found[-1] = found[-1]._replace(end=block.end)
        else:
            found.append(block)
    found = _with_labels(text, found)
    if any(block.quotable for block in found):
        return found
    begin = max((part.end for part in parts(text) if part.is_reasoning), default=0)
    return [block._replace(quotable=block.kind == "heading" and block.start >= begin) for block in found]


def _with_labels(text: str, found: list[Block]) -> list[Block]:
    """The same with words in bold that stand alone before a list as its heading."""
    labels = {
        block
        for block, after in itertools.pairwise(found)
        if block.kind == "paragraph" and after.kind == "item" and _LABEL.fullmatch(text, block.start, block.end)
    }
    return [block._replace(kind="heading", quotable=False) if block in labels else block for block in found]


@cache
def _reader() -> "MarkdownIt":
    from markdown_it import MarkdownIt
    from mdit_py_plugins.admon import admon_plugin
    from mdit_py_plugins.container import container_plugin
    from mdit_py_plugins.footnote import footnote_plugin

    reader = MarkdownIt("commonmark", {"maxNesting": _DEEP}).enable("table").use(footnote_plugin)
    reader.use(admon_plugin).use(container_plugin, "admonition", validate=lambda *_: True)  # "!!! note", ":::note"
    reader.core.ruler.disable(["inline", "footnote_tail"])  # only blocks are asked for
    return reader


def _hard_lines(text: str, kind: Kind) -> list[Block]:
    """A paragraph between its hard breaks: any other break of a line is a space in Markdown, unless the lines are a list."""
    lines = [line.said for line in newlines_of(text) if line.said]
    if len(lines) > 3 and is_list(lines):
        return plain.prose(text, kind)
    breaks = list(_HARD_BREAK.finditer(text))
    ends = [*(one.end() if one[1] else one.start() for one in breaks), len(text)]
    starts = [_QUOTES.match(text, a, b).end() for a, b in zip([0, *(one.end() for one in breaks)], ends, strict=True)]  # type: ignore[union-attr]
    found = [Block(a, a + len(text[a:b].rstrip()), kind) for a, b in zip(starts, ends, strict=True)]
    return rejoined([block for block in found if says_something(text[block.start : block.end])], text)


def _of_part(text: str, start: int, end: int, prose: Prose) -> list[Block]:
    front = _FRONT.match(text, start, end)
    start = front.end() if front else start
    part = text[start:end]
    lines = newlines_of(part)
    return shifted([block for token in _leaves(part) for block in _of_leaf(*token, part, lines, prose=prose)], start)


def _leaves(part: str) -> "Iterator[tuple[Token, Kind]]":
    """The tokens that hold text, each with the kind of what it stands in."""
    inside: list[Kind] = []
    head = False
    before: Token | None = None
    for token in _reader().parse(part):
        if token.type in ("list_item_open", "blockquote_open"):
            inside.append("item" if token.type == "list_item_open" else "quote")
        elif token.type in ("list_item_close", "blockquote_close"):
            kind = inside.pop()
            if before and before.nesting == 1:  # nothing is inside, or it is too deep
                yield before, kind
        elif token.type in ("thead_open", "thead_close"):
            head = token.type == "thead_open"
        elif token.type == "tr_open":
            yield token, "markup" if head else "row"
        elif token.type == "heading_open" or (token.type.endswith("admonition_open") and _has_title(token)):
            yield token, "heading"
        elif token.map and token.type in ("paragraph_open", "fence", "code_block", "html_block"):
            yield token, inside[-1] if inside else "paragraph"
        before = token


def _has_title(admonition: "Token") -> bool:
    """Whether its first line says more than what kind it is."""
    return says_something(_NAME.sub("", admonition.info, count=1))


def _of_leaf(token: "Token", kind: Kind, part: str, lines: list[Line], *, prose: Prose) -> list[Block]:
    first, last = token.map or (0, 0)
    if token.type == "fence":
        closed = last - 1 > first and set(lines[last - 1].text.strip(" \t>")) == set(token.markup[0])
        first, last = first + 1, last - 1 if closed else last
    if underlined := token.type == "heading_open" and token.markup in ("=", "-"):
        last -= 1
    if token.type.endswith("admonition_open"):
        last = first + 1
    if token.type == "paragraph_open" and kind == "quote" and _ALERT.fullmatch(lines[first].text):  # "> [!NOTE]"
        first += 1
    while last > first and not lines[last - 1].text.strip(" \t>"):
        last -= 1
    while first < last and token.type == "paragraph_open" and _RULE.match(lines[first].text):
        first += 1
    if first >= last:
        return []
    start, end = lines[first].start, lines[last - 1].end
    if token.type in ("fence", "code_block"):
        return shifted(code.blocks(part[start:end]), start)
    names_it = token.type == "html_block" and _NAMED_TAG.match(part, start, end) and not html.is_page(part[start:end])
    if token.type == "html_block" and not names_it:
        return shifted(html.blocks(part[start:end]), start)
    start = _QUOTES.match(part, start, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    end = start + len(part[start:end].rstrip())
    if underlined and _STOP.search(part[start:end]):  # a sentence above a rule
        return shifted(prose(part[start:end], "paragraph"), start)
    if token.type in ("paragraph_open", "list_item_open", "blockquote_open", "html_block"):
        said = _EMPTY_LINK.sub("", _IMAGE.sub("", part[start:end]))
        begin = lines[first].start  # with the quotation marks before its first word, as its other lines have them
        return shifted(prose(part[begin:end], kind), begin) if says_something(said) else []
    return [Block(start, end, "row" if kind == "markup" else kind, kind == "row")]
