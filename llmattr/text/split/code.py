"""Code: a function, a class, a long class by its methods, else the lines that stand together."""

import ast
import bisect
import warnings
from collections.abc import Sequence

import regex

from llmattr.text.split.blocks import Block, Line, newlines_of

_LONG = 30  # lines: a class of as many is cut by its methods, and statements that stand together are at such a place
_CLOSES = regex.compile(r"\s*(?:[)\]}]|(?:end|else|elif|except|finally|catch)\b)")
_ONLY_CLOSES = regex.compile(r"\s*(?:[)\]}]+[;,]?|end)\s*$")
_CLASS = regex.compile(r"\s*(?:[\w()]+\s+){0,8}(?:(?:class|interface|struct|trait|enum|object|module|namespace)\s+\w|impl\b)")
_FUNCTION = regex.compile(r"\s*(?:[\w()]+\s+){0,8}(?:function|func|fn|def|sub|fun)\b\*?\s*[\w(]")
_BODY = regex.compile(  # "int main(void) {", "add(a, b) {", "const f = (a) => {"
    r"\s*+(?!(?:if|for|while|switch|else|do|try|catch|with|return)\b)[\w:*&<>,~#\[\]\s]+\([^;=]*\)[^;=(){}]*+\{?\s*$|.*=>\s*\{\s*$"
)
_BODY_END = regex.compile(r"\s*(?:\}|end)[;,]?\s*$")
_LITERAL = regex.compile(  # one that may run over lines, and what may hold its marks
    r"/\*.*?\*/|(?<!\\)`(?:\\.|[^`\\])*+`|\"{3}.*?\"{3}|'{3}.*?'{3}|//[^\n]*+|'(?:\\.|[^'\\\n])*+'|\"(?:\\.|[^\"\\\n])*+\"",
    regex.S,
)

_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Rows = tuple[int, int]  # the first line and the one behind the last


def blocks(text: str) -> list[Block]:
    """The blocks of code in any language: as Python where it is Python, else by blank lines and indents."""
    lines = newlines_of(text)
    tree = _parsed(text)
    rows = _of_indents(text, lines) if tree is None else _of_body(tree.body, lines, 0, len(lines))
    return [_block(lines[first:last]) for first, last in rows if any(line.text.strip() for line in lines[first:last])]


def is_python(text: str) -> bool:
    """Whether a text is Python that does something."""
    whole = _parsed(text)
    return whole is not None and any(not isinstance(node, ast.Expr) for node in whole.body)


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a reader of the code would be warned of
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _block(lines: Sequence[Line]) -> Block:
    said = [line for line in lines if line.text.strip()]
    start = said[0].end - len(said[0].text.lstrip())
    return Block(start, said[-1].start + len(said[-1].text.rstrip()), "code")


def _of_body(body: Sequence[ast.stmt], lines: Sequence[Line], begin: int, end: int) -> list[Rows]:
    """Definitions, each with the comment right above it, and others together that no blank line parts, a page at most."""
    found: list[Rows] = []
    joins = False  # whether what comes next may stand with the rows before
    for first, last, node in _statements(body, lines, begin, end):
        defines = isinstance(node, _DEFINITION)
        touches = joins and found[-1][1] == first and first - found[-1][0] < _LONG
        if touches and not (defines and not _is_comment(lines[first - 1])):
            first = found.pop()[0]
        if isinstance(node, ast.ClassDef) and last - first >= _LONG:
            found += _of_class(node, lines, first, last)
        else:
            found.append((first, last))
        joins = not defines
    return found


def _statements(
    body: Sequence[ast.stmt], lines: Sequence[Line], begin: int, end: int
) -> list[tuple[int, int, ast.stmt | None]]:
    """The rows of each statement, and of each line of comment between them (None)."""
    found: list[tuple[int, int, ast.stmt | None]] = []
    row = begin
    for node in body:
        decorators = node.decorator_list if isinstance(node, _DEFINITION) else []
        first = min([node.lineno, *(d.lineno for d in decorators)]) - 1
        found += [(r, r + 1, None) for r in range(row, first) if lines[r].text.strip()]
        if first >= row:  # not on the line of the statement before
            row = node.end_lineno or node.lineno
            found.append((first, row, node))
    return found + [(r, r + 1, None) for r in range(row, end) if lines[r].text.strip()]


def _of_class(node: ast.ClassDef, lines: Sequence[Line], first: int, last: int) -> list[Rows]:
    """A class by its methods, each with its comment; what stands before the first goes with the `class` line if it is short.

    Where it is long, or where a very long class has no method, the docstring alone does.
    """
    inner = _of_body(node.body, lines, node.body[0].lineno - 1, last)
    methods = {item.lineno - 1 for item in node.body if isinstance(item, _DEFINITION)}
    begins = next((k for k, (a, b) in enumerate(inner) if any(a <= row < b for row in methods)), len(inner))
    behind = inner[begins][0] if begins < len(inner) else last
    if not inner[0][0] > first or (behind == last and last - first < 2 * _LONG):
        return [(first, last)]
    if begins > 1 and behind - first >= _LONG:
        return [(first, inner[0][1]), *inner[1:]]
    return [(first, behind), *inner[begins:]]


def _is_comment(line: Line) -> bool:
    return line.text.lstrip().startswith(("#", "//", "/*", "*", "@"))


def _of_indents(text: str, lines: Sequence[Line]) -> list[Rows]:
    """Lines together as `_begins` has them, and a long class by its members."""
    said = [k for k, line in enumerate(lines) if line.text.strip()]
    if not said:
        return []
    inside = _inside_literals(text, lines)
    begins = _begins(lines, [k for k in said if k not in inside], min(lines[k].indent for k in said))
    found: list[Rows] = []
    for first, last in zip(begins, [*begins[1:], len(lines)], strict=True):
        rows = [k for k in said if first <= k < last and k not in inside] if last - first >= _LONG else []
        found += _of_members(lines, rows, last) if rows and _CLASS.match(_head(lines, rows)) else [(first, last)]
    return found


def _inside_literals(text: str, lines: Sequence[Line]) -> set[int]:
    """The lines that begin inside a text or a comment of several lines."""
    starts = [line.start for line in lines]
    closed = text.rfind("*/") + 1  # what opens a comment behind it opens none
    spans = [literal.span() for literal in _LITERAL.finditer(text[:closed] + text[closed:].replace("/*", "  "))]
    return {k for a, b in spans for k in range(bisect.bisect_right(starts, a), bisect.bisect_left(starts, b))}


def _begins(lines: Sequence[Line], rows: Sequence[int], base: int) -> list[int]:
    """The lines that begin something: of those set in no further than `base`, behind a blank line or around a definition."""
    found: list[int] = []
    head = ""  # what was begun, in its first line that is no comment
    for k in rows:
        line, above = lines[k], lines[k - 1]
        ended = above.indent == base and _BODY_END.match(above.text) and (_defines(head) or _BODY.match(head))
        starts = _defines(line.text) or (base and _BODY.match(line.text) and line.text.rstrip().endswith("{"))
        apart = not above.text.strip() or ended or (starts and not _is_comment(above))
        if not found or (apart and line.indent <= base and not _CLOSES.match(line.text)):
            found.append(k)
            head = ""
        head = head or ("" if _is_comment(line) else line.text)
    return found


def _defines(line: str) -> bool:
    return bool(_FUNCTION.match(line) or _CLASS.match(line))


def _head(lines: Sequence[Line], rows: Sequence[int]) -> str:
    """The first line that is no comment."""
    return lines[next((k for k in rows if not _is_comment(lines[k])), rows[0])].text


def _of_members(lines: Sequence[Line], rows: Sequence[int], last: int) -> list[Rows]:
    """A class by its members, which are set in alike; its closing bracket is none of them."""
    rows = rows[: -1 if _ONLY_CLOSES.match(lines[rows[-1]].text) else None]
    last = rows[-1] + 1
    inner = min((lines[k].indent for k in rows if lines[k].indent > lines[rows[0]].indent), default=0)
    begins = _begins(lines, rows, inner)
    return list(zip(begins, [*begins[1:], last], strict=True))
