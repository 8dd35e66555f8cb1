"""Org mode: text, tables and source; keywords, drawers, comments and plans say nothing that can be cited."""

from collections.abc import Sequence

import regex

from llmattr.text.split.blocks import Block, Line, says_something
from llmattr.text.split.stretches import Stretch, blocks_of, rest_of, run_end, table

_HEADING = regex.compile(r"\*+\s+\S")
_TITLE = regex.compile(r"\s*#\+(?:title|subtitle):\s*(?=\S)", regex.I)
_CAPTION = regex.compile(r"\s*#\+caption(?:\[[^\]]*\])?:\s*(?=\S)", regex.I)
_BEGIN = regex.compile(r"\s*#\+begin_(\w+)", regex.I)
_KEYWORD = regex.compile(r"\s*(?:#(?:\+\S.*|\s.*)?|\*+\s*|-{5,}\s*)$")  # or a comment, a rule
_DRAWER = regex.compile(r"\s*:[\w-]+:\s*$")
_DRAWN = 100  # lines of a drawer, at most
_PLAN = regex.compile(r"\s*(?:SCHEDULED|DEADLINE|CLOSED|CLOCK):\s")
_ROW = regex.compile(r"\s*\|")
_RULE = regex.compile(r"\s*\|[-+|\s]*-[-+|\s]*$")
_LITERAL = regex.compile(r"\s*:(?:\s|$)")
_CODE = frozenset(["src", "example"])
_SILENT = frozenset(["comment", "export"])


def blocks(text: str) -> list[Block]:
    """The blocks of a document."""
    return blocks_of(text, _read)


def _read(lines: Sequence[Line], at: int, prose: Sequence[Line]) -> tuple[Sequence[Stretch], int]:
    line = lines[at]
    if _HEADING.match(line.text):
        return [("title", [line])], at + 1
    if (opening := _BEGIN.match(line.text)) and opening[1].lower() in _CODE | _SILENT:
        ends = regex.compile(rf"\s*#\+end_{opening[1]}\b", regex.I)
        end = run_end(lines, at, lambda said: not ends.match(said))
        is_code = opening[1].lower() in _CODE or end == len(lines)  # what is never closed hides nothing
        return [("code", lines[at + 1 : end])] if is_code else [], end + 1
    if title := _TITLE.match(line.text):
        return [("title", [rest_of(line, title.end())])], at + 1
    if caption := _CAPTION.match(line.text):
        return [("prose", [rest_of(line, caption.end())])], at + 1
    if _DRAWER.match(line.text):
        end = next((k for k in range(at + 1, min(at + _DRAWN, len(lines))) if lines[k].text.strip().upper() == ":END:"), at)
        return [], end + 1
    if _KEYWORD.match(line.text) or _PLAN.match(line.text):
        return [], at + 1
    if _ROW.match(line.text):
        return _table(lines, at)
    if _LITERAL.match(line.text):
        end = run_end(lines, at, _LITERAL.match)
        return [("code", lines[at:end])], end
    return [("prose", [line])], at + 1


def _table(lines: Sequence[Line], at: int) -> tuple[Sequence[Stretch], int]:
    """The rows of a table: those above its first rule name the columns."""
    end = run_end(lines, at, _ROW.match)
    rules = [k for k in range(at, end) if _RULE.match(lines[k].text)]
    said = [k for k in range(at, end) if k not in rules and says_something(lines[k].text)]
    first = next((k for k in rules if said and k > said[0]), at)
    heads = sum(k < first for k in said)
    return table([[lines[k]] for k in said], heads if heads < len(said) else 0), end
