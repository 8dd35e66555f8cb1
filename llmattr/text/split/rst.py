"""reStructuredText: its code is code; directives, options, comments, targets, substitutions say nothing; the rest is plain."""

import itertools
from collections.abc import Sequence

import regex

from llmattr.text.split.blocks import Block, Line, says_something
from llmattr.text.split.stretches import Stretch, blocks_of, rest_of, run_end, table

_DIRECTIVE = regex.compile(r"\s*\.\.\s+(\|[^|\n]+\|\s+)?(?:[\w-]+:)?([\w-]+)::(?:\s+|$)")
_FOOTNOTE = regex.compile(r"\s*\.\.\s+(?=\[[^\]\n]+\]\s)")
_EXPLICIT = regex.compile(r"\s*(?:\.\.(?:\s|$)|__ )")  # a comment or a target
_OPTION = regex.compile(r"\s+:[\w-]+:(?:\s|$)")
_FIELD = regex.compile(r":[^:\n]+:\s+\S")
_GRID = regex.compile(r"\s*\+(?:[-=]+\+)+\s*$")
_BORDER = regex.compile(r"\s*=+(?:\s+=+)+\s*$")
_SILENT_LINE = regex.compile(r"\s*(?:\|[^|\n]+\|_{0,2}\s*)+$|:[\w-]+:\s*$")  # substitutions; ":orphan:"
_LISTS = frozenset(["contents", "index", "sectnum", "toctree"])
_CODE = frozenset(["code", "code-block", "sourcecode", "parsed-literal", "doctest", "testcode", "prompt", "math"])
_SILENT = _LISTS | frozenset(["image", "include", "highlight", "literalinclude", "module", "currentmodule", "meta", "raw"])
_PATHS = frozenset(["figure"])  # what stands behind the name is no text, but what is set in below is


def blocks(text: str) -> list[Block]:
    """The blocks of a document."""
    return blocks_of(text, _read)


def _read(lines: Sequence[Line], at: int, prose: Sequence[Line]) -> tuple[Sequence[Stretch], int]:
    line = lines[at]
    if (indent := _announced(lines, prose, at)) is not None:
        end = _body_end(lines, at, indent)
        return [("code", lines[at:end])], end
    if directive := _DIRECTIVE.match(line.text):
        return _directive(lines, at, directive)
    if footnote := _FOOTNOTE.match(line.text):
        return [("prose", [rest_of(line, footnote.end())])], at + 1
    if _EXPLICIT.match(line.text):
        return [], _body_end(lines, at + 1, line.indent)
    if _SILENT_LINE.match(line.text):
        return [], at + 1
    if _GRID.match(line.text):
        return _grid(lines, at)
    if _BORDER.match(line.text):
        return _simple(lines, at)
    if _FIELD.match(line.text):
        return [("row", [line])], at + 1
    if line.text.lstrip().startswith(">>> "):
        end = run_end(lines, at, str.strip)
        return [("code", lines[at:end])], end
    return [("prose", [line])], at + 1


def _announced(lines: Sequence[Line], prose: Sequence[Line], at: int) -> int | None:
    """How far a paragraph is set in whose last `::` announces the code that begins here."""
    said = [line for line in prose[-3:] if line.text.strip()]
    blank = at > 0 and not lines[at - 1].text.strip()
    announces = said and blank and said[-1].text.rstrip().endswith("::") and lines[at].indent > said[-1].indent
    return said[-1].indent if announces else None


def _directive(lines: Sequence[Line], at: int, directive: regex.Match[str]) -> tuple[Sequence[Stretch], int]:
    line = lines[at]
    first = run_end(lines, at + 1, _OPTION.match)
    if directive[2] in _CODE:
        end = _body_end(lines, first, line.indent)
        return [("code", lines[first:end])], end
    if directive[1] or directive[2] in _SILENT:
        return [], _body_end(lines, first, line.indent)
    rest = rest_of(line, directive.end())
    return [("prose", [rest])] if rest.text and directive[2] not in _PATHS else [], first


def _grid(lines: Sequence[Line], at: int) -> tuple[Sequence[Stretch], int]:
    """The rows of a table that is drawn: what stands between two of its rules."""
    end = run_end(lines, at, lambda said: said.strip()[:1] in ("+", "|"))
    rules = [k for k in range(at, end) if _GRID.match(lines[k].text)]
    rows = [lines[a + 1 : b] for a, b in itertools.pairwise(rules)]
    heads = next((i for i, k in enumerate(rules) if "=" in lines[k].text), 0)
    return table(rows, heads if heads < len(rows) else 0), end


def _simple(lines: Sequence[Line], at: int) -> tuple[Sequence[Stretch], int]:
    """The rows of a simple table, up to its third border or one above a blank line; without its first cell a row goes on."""
    borders = itertools.islice((k for k in range(at + 1, len(lines)) if _BORDER.match(lines[k].text)), 2)
    inner = [at]
    for last in borders:
        if len(inner) == 2 or last + 1 == len(lines) or not lines[last + 1].text.strip():
            break
        inner.append(last)
    else:
        return [], at + 1
    rows: list[list[Line]] = []
    for k in range(at + 1, last):
        line = lines[k]
        if not says_something(line.text):
            continue
        goes_on = rows and k - 1 not in inner and line.indent > lines[at].indent
        rows += [] if goes_on else [[]]
        rows[-1].append(line)
    heads = sum(row[0].start < lines[inner[-1]].start for row in rows) if len(inner) > 1 else 0
    return table(rows, heads), last + 1


def _body_end(lines: Sequence[Line], first: int, indent: int) -> int:
    """Behind the lines that are set in further than `indent`, with the blank lines between them."""
    end = first
    for k in range(first, len(lines)):
        if lines[k].text.strip():
            if lines[k].indent <= indent:
                break
            end = k + 1
    return end
