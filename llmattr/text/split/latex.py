r"""LaTeX: the text of its sections, items, captions, tables and formulas; commands, comments and the preamble say nothing."""

from collections.abc import Iterator
from typing import NamedTuple

import regex

from llmattr.text.split.blocks import Block, Kind, says_something, trimmed

_MATH = "equation|align|alignat|flalign|gather|multline|eqnarray|displaymath|math"
_CODE = "verbatim|Verbatim|lstlisting|minted|alltt"
_UNSEEN = "comment|filecontents|tikzpicture|picture|pspicture|CCSXML"
_TABLE = "tabular|tabularx|tabulary|longtable|supertabular|tabu|array"


def _inside(deep: int) -> str:
    """A pattern of what stands in braces, with braces in it to this depth."""
    deeper = r"|\{" + _inside(deep - 1) + r"\}" if deep else ""
    return r"(?:[^{}\\]|\\." + deeper + ")*+"


_GROUP = rf"\{{{_inside(3)}\}}"
_OPTION = r"\[[^\[\]\n]*\]"
_ARGUMENTS = rf"(?:[ \t]*(?:{_OPTION}|{_GROUP}))*+"
_SILENT = (
    r"label|index|usepackage|documentclass|newcommand|renewcommand|providecommand|DeclareMathOperator|def|let|newtheorem|"
    r"author|date|thanks|affiliation|email|institute|address|bibliography|bibliographystyle|addbibresource|input|include|"
    r"includegraphics|graphicspath|setlength|addtolength|setcounter|hypersetup|vspace|hspace|vskip|hskip|pagestyle|"
    r"thispagestyle|noindent|centering|raggedright|par|indent|maketitle|tableofcontents|newpage|clearpage|cleardoublepage|"
    r"bigskip|medskip|smallskip|appendix|footnotesize|small|large|Large|hline|toprule|midrule|bottomrule"
)
# What stands between the texts; the groups are called as what is in them, or opens behind them. A command that says nothing
# itself counts where it begins a line, and one that is not known where it has the line for itself: else it is of a sentence.
_MARK = regex.compile(
    "|".join(
        [
            r"(?<!\\)%[^\n]*+",
            rf"\\begin\{{(?P<unseen>(?:{_UNSEEN})\*?)\}}",
            rf"\\begin\{{(?P<code>(?:{_CODE})\*?)\}}{_ARGUMENTS}",
            rf"\\begin\{{(?P<code>(?:{_MATH})\*?)\}}|(?<!\\)\\(?P<code>\[)|(?P<code>\$\$)",
            rf"\\begin\{{(?P<rows>(?:{_TABLE})\*?)\}}{_ARGUMENTS}",
            r"\\(?:part|chapter|(?:sub){0,2}section|(?:sub)?paragraph|title|subtitle)\*?"
            rf"(?:{_OPTION})?\s*\{{(?P<heading>{_inside(3)})\}}",
            rf"\\(?:caption|captionof\{{\w+\}})\*?(?:{_OPTION})?\s*\{{(?P<paragraph>{_inside(3)})\}}",
            rf"\\(?P<item>item)\b[ \t]*|\\(?P<entry>bibitem)(?:{_OPTION})?\{{[^{{}}]*\}}",
            rf"\\(?:begin|end)\{{[\w*]+\}}{_ARGUMENTS}",
            rf"^[ \t]*\\(?:{_SILENT})\b\*?(?:\\\w+)?{_ARGUMENTS}",
            r"^[ \t]*\\(?!cite|text|emph|href|\w*ref\b|footnote|LaTeX|TeX)[a-zA-Z@]++\*?"
            rf"(?:(?:\[[^\s\[\]]*\]|\{{[^\s{{}}]*\}})*+|{_GROUP}(?:{_GROUP})++)[ \t\r]*(?:%[^\n]*)?$",
            r"^[ \t]*[{}][ \t\r]*$",
            r"(?P<blank>\n[ \t\r]*\n\s*)",
        ]
    ),
    regex.S | regex.M,
)
_ENDS = {"[": r"\]", "$$": "$$"}  # and environments with `\end`
_TITLE = regex.compile(rf"\\title\s*\{{(?P<heading>{_inside(3)})\}}")
_NAMES = regex.compile(r"(?:\s*\\(?:label|index)\{[^{}]*\})+\s*")
_ROW_END = regex.compile(r"\\\\(?:\[[^\]\n]*\])?|\\tabularnewline\b")
_RULES = regex.compile(
    r"(?:\s|%[^\n]*|\\(?:[a-z]*(?:line|rule)|endhead|endfoot|endfirsthead|endlastfoot)\b(?:\([^()]*\)|\{[^{}]*\})*+)*+"
)


class _Piece(NamedTuple):
    """What a stretch is, and where it stands."""

    what: str
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    r"""The blocks of a document: what stands between `\begin{document}` and its end, where that is there, and the title."""
    begin = text.find(r"\begin{document}")
    end = text.find(r"\end{document}", max(begin, 0))
    title = _TITLE.search(text, 0, max(begin, 0))
    found = [Block(*title.span("heading"), "heading", False)] if title else []
    kinds: dict[str, Kind] = {"code": "code", "item": "item", "entry": "row"}
    for what, first, last in _pieces(text, max(begin, 0), end if end >= 0 else len(text)):
        if what == "rows":
            found += _rows(text, first, last)
        elif what == "heading":
            found.append(Block(first, last, "heading", False))
        elif what != "unseen":
            names = _NAMES.match(text, first, last)
            found.append(Block(names.end() if names else first, last, kinds.get(what, "paragraph")))
    return [trimmed(block, text) for block in found if says_something(text[block.start : block.end])]


def _pieces(text: str, start: int, end: int) -> Iterator[_Piece]:
    """The text between the marks, and what is in them."""
    what = "paragraph"
    at = start
    while mark := _MARK.search(text, at, end):
        said = mark.lastgroup
        yield _Piece(what, start, mark.start())
        what, start = said if said in ("item", "entry") else "paragraph", mark.end()
        if said in ("unseen", "code", "rows"):
            closing = _ENDS.get(mark[said], rf"\end{{{mark[said]}}}")
            closes = text.find(closing, start, end)
            if closes >= 0:
                yield _Piece(said, start, closes)
                start = closes + len(closing)
        elif said in ("heading", "paragraph"):
            yield _Piece(said, *mark.span(said))
        at = start
    yield _Piece(what, start, end)


def _rows(text: str, start: int, end: int) -> list[Block]:
    """The rows of a table without the rules around them; those above the first rule inside of it name the columns."""
    found: list[Block] = []
    heads = 0
    for row_end in [*_ROW_END.finditer(text, start, end), None]:
        last = row_end.start() if row_end else end
        rules = _RULES.match(text, start, last)
        begin = rules.end() if rules else start
        heads = heads or (len(found) if "\\" in text[start:begin] and begin < last else 0)
        found += [Block(begin, last, "row")] if begin < last else []
        start = row_end.end() if row_end else end
    return [block._replace(quotable=k >= heads) for k, block in enumerate(found)]
