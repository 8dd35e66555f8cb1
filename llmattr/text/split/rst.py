"""reStructuredText: its code is code; directives, options, comments, targets, substitutions say nothing; the rest is plain."""

from collections.abc import Iterator, Sequence

import regex

from llmattr.text.split import code, plain
from llmattr.text.split.blocks import Block, Line, newlines_of, shifted

_DIRECTIVE = regex.compile(r"\s*\.\.\s+(\|[^|\n]+\|\s+)?(?:[\w-]+:)?([\w-]+)::(?:\s+|$)")
_FOOTNOTE = regex.compile(r"\s*\.\.\s+(?=\[[^\]\n]+\]\s)")
_EXPLICIT = regex.compile(r"\s*(?:\.\.(?:\s|$)|__ )")  # a comment or a target
_OPTION = regex.compile(r"\s+:[\w-]+:(?:\s|$)")
_FIELD = regex.compile(r":[^:\n]+:\s+\S")
_SUBSTITUTIONS = regex.compile(r"\s*(?:\|[^|\n]+\|_{0,2}\s*)+$")
_LISTS = frozenset(["contents", "index", "sectnum", "toctree"])
_CODE = frozenset(["code", "code-block", "sourcecode", "parsed-literal", "doctest", "testcode", "prompt", "math"])
_SILENT = _LISTS | frozenset(["image", "include", "highlight", "literalinclude", "module", "currentmodule", "meta", "raw"])
_PATHS = frozenset(["figure"])  # what stands behind the name is no text, but what is set in below is
Stretch = tuple[str, Sequence[Line], int]  # what it is (prose, row, code, nothing), its lines, and which line is the next


def blocks(text: str) -> list[Block]:
    """The blocks of a document."""
    found: list[Block] = []
    for kind, lines in _joined(newlines_of(text)):
        start, end = lines[0].start, lines[-1].end
        read = [Block(0, end - start, "row")] if kind == "row" else (code if kind == "code" else plain).blocks(text[start:end])
        found += shifted(read, start)
    return found


def _joined(lines: Sequence[Line]) -> Iterator[tuple[str, Sequence[Line]]]:
    """Prose, as long as nothing else comes, rows and code."""
    prose: list[Line] = []
    at = 0
    while at < len(lines):
        kind, read, behind = _literal(lines, prose, at) or _stretch(lines, at)
        if prose and (kind != "prose" or read[0] is not lines[at]):
            yield "prose", prose
            prose = []
        if kind == "prose":
            prose += read
        elif read:
            yield kind, read
        at = behind
    if prose:
        yield "prose", prose


def _literal(lines: Sequence[Line], prose: Sequence[Line], at: int) -> Stretch | None:
    """The code that a paragraph's last `::` announces."""
    said = [line for line in prose[-3:] if line.text.strip()]
    blank = at > 0 and not lines[at - 1].text.strip()
    if said and blank and said[-1].text.rstrip().endswith("::") and lines[at].indent > said[-1].indent:
        end = _body_end(lines, at, said[-1].indent)
        return "code", lines[at:end], end
    return None


def _stretch(lines: Sequence[Line], at: int) -> Stretch:
    line = lines[at]
    directive = _DIRECTIVE.match(line.text)
    if directive:
        first = next((k for k in range(at + 1, len(lines)) if not _OPTION.match(lines[k].text)), len(lines))
        if directive[2] in _CODE:
            end = _body_end(lines, first, line.indent)
            return "code", lines[first:end], end
        if directive[1] or directive[2] in _SILENT:
            return "nothing", [], _body_end(lines, first, line.indent)
        rest = Line(line.start + directive.end(), line.text[directive.end() :])
        return ("prose", [rest], first) if rest.text and directive[2] not in _PATHS else ("nothing", [], first)
    footnote = _FOOTNOTE.match(line.text)
    if footnote:
        return "prose", [Line(line.start + footnote.end(), line.text[footnote.end() :])], at + 1
    if _EXPLICIT.match(line.text):
        return "nothing", [], _body_end(lines, at + 1, line.indent)
    if _SUBSTITUTIONS.match(line.text):
        return "nothing", [], at + 1
    if _FIELD.match(line.text):
        return "row", [line], at + 1
    if line.text.lstrip().startswith(">>> "):
        end = next((k for k in range(at, len(lines)) if not lines[k].text.strip()), len(lines))
        return "code", lines[at:end], end
    return "prose", [line], at + 1


def _body_end(lines: Sequence[Line], first: int, indent: int) -> int:
    """Behind the lines that are set in further than `indent`, with the blank lines between them."""
    end = first
    for k in range(first, len(lines)):
        if lines[k].text.strip():
            if lines[k].indent <= indent:
                break
            end = k + 1
    return end
