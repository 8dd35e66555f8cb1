"""AsciiDoc: text, tables and listings; attributes, macros, delimiters and comments say nothing that can be cited."""

from collections.abc import Sequence

import regex

from llmattr.text.split.blocks import Block, Line, says_something
from llmattr.text.split.stretches import Stretch, blocks_of, rest_of, run_end, table

_HEADING = regex.compile(r"(?:={1,6}|#{1,6})\s+\S")
_BLOCK_TITLE = regex.compile(r"\.(?=[^\s.])")
_DELIMITER = regex.compile(r"(-{4,}|\.{4,}|/{4,}|\+{4,}|={4,}|\*{4,}|_{4,}|--|'{3,}|<{3,}|[|,:!]={3,}|`{3,}\w*)\s*$")
_MARKUP = regex.compile(  # an attribute, what is said of a block, a macro, a comment, what joins a block to an item
    r"(?::!?[\w-]+!?:(?:\s.*)?|\[.*\]|(?:include|image|video|audio|toc|ifdef|ifndef|ifeval|endif)::\S*\[.*\]|//(?!/).*|\+)\s*$"
)
_ITEM = regex.compile(r"\s*(?:\*{2,5}|\.{1,5})\s+(?=\S)")
_CELL = regex.compile(r"(?:[\d.+*]*[<^>]*[aehlmsv]?)\|")
_CODE, _SILENT, _TABLE = frozenset("-.`"), frozenset("/+"), frozenset(["|===", "!==="])


def blocks(text: str) -> list[Block]:
    """The blocks of a document."""
    return blocks_of(text, _read)


def _read(lines: Sequence[Line], at: int, prose: Sequence[Line]) -> tuple[Sequence[Stretch], int]:
    line = lines[at]
    if opening := _DELIMITER.match(line.text):
        mark = opening[1]
        closes = "```" if mark.startswith("```") else mark
        end = run_end(lines, at + 1, lambda said: said.rstrip() != closes)
        if end < len(lines) and len(mark) > 2 and mark[0] in _CODE:
            return [("code", lines[at + 1 : end])], end + 1
        if end < len(lines) and mark in _TABLE:
            return _table(lines[at + 1 : end]), end + 1
        return [], end + 1 if end < len(lines) and mark[0] in _SILENT else at + 1
    if _HEADING.match(line.text):
        return [("title", [line])], at + 1
    if _MARKUP.match(line.text):
        return [], at + 1
    if item := _ITEM.match(line.text):
        return [("prose", [rest_of(line, item.end())])], at + 1
    if title := _BLOCK_TITLE.match(line.text):
        return [("title", [rest_of(line, title.end())])], at + 1
    return [("prose", [line])], at + 1


def _table(lines: Sequence[Line]) -> list[Stretch]:
    """A row a line, or, where each cell has its own line, what blank lines part; a first one alone names the columns."""
    apart = sum(line.text.count("|") > 1 for line in lines) <= 1 < sum(not line.text.strip() for line in lines)
    rows: list[list[Line]] = []
    begins = True
    for line in lines:
        if not says_something(line.text):
            begins = True
            continue
        begins = begins or (not apart and bool(_CELL.match(line.text.lstrip())))
        rows += [[]] if begins or not rows else []
        rows[-1].append(line)
        begins = False
    head = len(rows) > 1 and len(lines) > 1 and says_something(lines[0].text) and not lines[1].text.strip()
    return table(rows, int(head))
