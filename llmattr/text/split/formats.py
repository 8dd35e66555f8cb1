"""How a text is built: by its name, else as it looks; what does not clearly look like anything is plain."""

import csv

import regex

from llmattr.core.plain_json import is_json
from llmattr.errors import LlmattrError, did_you_mean
from llmattr.text.split.blocks import Line, newlines_of
from llmattr.text.split.reasoning import has_reasoning

FORMATS = {  # and the endings of files that are built so, or are read to texts that are
    "plain": "txt text log pdf docx odt rtf",
    "markdown": "md mdx mkd markdown",
    "rst": "rst rest",
    "asciidoc": "adoc asciidoc",
    "org": "org",
    "latex": "tex ltx",
    "diff": "diff patch",
    "answer": "",
    "html": "htm xhtml html",
    "code": "py pyi js mjs ts tsx jsx java c h cc cpp hpp cs go rs rb php swift kt scala sh bash sql r jl lua m pl pm yaml yml "
    "toml ini css",
    "table": "csv tsv",
    "records": "jsonl ndjson",
    "json": "json geojson",
    "mail": "eml email mbox",
    "subtitles": "srt vtt",
}
ENDINGS = {ending: name for name, endings in FORMATS.items() for ending in endings.split()}

_LOOKED_AT = 20_000  # characters
CUE = regex.compile(r"\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{3}\s+-->\s")
DELIMITERS = ",;\t|"
DECLARED = regex.compile(r"\ufeff?sep=([,;|\t])[ \t]*(?:\r?\n|\r)", regex.I)  # for Excel, what parts the cells below
_NAME = regex.compile(r"\p{L}[\p{L}\p{M}\d _.()%/?'’&:#€$-]{0,40}|[12]\d{3}|")  # of a column: a word or a few, a year, none
_ROWS = 30  # that are looked at
HEADER = regex.compile(
    r"(?:From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Message-ID|In-Reply-To|Received|Return-Path|MIME-Version|Content-[\w-]+|X-[\w-]+"
    r"|Von|An|Betreff|Datum|De|À|Objet|Asunto|Para):\s"
)
_FROM_AND_ABOUT = regex.compile(r"(?:From|Von|De):\s[^\n]+\n(?:\S+:\s[^\n]+\n)*(?:Subject|Betreff|Objet|Asunto):\s")
WROTE = regex.compile(r".*(?:wrote|schrieb|a écrit|escribió|ha scritto|kirjoitti|пишет|написал).{0,80}:\s*$")
ON_A_DAY = regex.compile(r"(?:On|Am|Le|El|Il|Em)\b.*\d.*[^.!?]$")  # where the line that says who wrote was wrapped
FORWARD = regex.compile(r"\s*-{3,}\s*\p{L}[^-]*-{3,}\s*$")
_HTML = regex.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|article|main|section|div|p|table|ul|ol|h[1-6])\b",
    regex.I | regex.S,
)
_HTML_END = regex.compile(r"</(?:html|body|p|div|table|ul|ol|li|h[1-6]|section|article)\s*>", regex.I)
_MARKDOWN = regex.compile(
    r"^(?:\#{1,6} +\S|[`~]{3,}|[ \t]*+\|?[ \t]*+:?-+:?[ \t]*+\|[ \t:|-]*$|[ \t]*[-*+] \[[ xX]\] |\[[^\]\n]+\]: |---\n[\w-]+: )"
    r"|^\S.*\n(?:={3,}|-{3,})[ \t]*$|\[[^\]\n]{1,200}\]\([^)\s]+\)|\*\*\S[^*\n]*\*\*|(?<![\w`])`[^`\n]+`",
    regex.M,
)
_RST = regex.compile(r"^\.\. (?:\|[^|\n]+\| )?[a-z-]+::(?: |$)", regex.M)
_LATEX = regex.compile(r"\A(?:\s|%[^\n]*\n)*+\\(?:documentclass|documentstyle|chapter|section|begin\{)")
_ORG = regex.compile(r"\A(?:\s|#[^+\n][^\n]*\n)*+(?:#\+(?:title|author|options|startup|begin)[:_]|\*+ (?:TODO|DONE) )", regex.I)
_DIFF = regex.compile(  # with what is said of it above its first file or hunk
    r"(?=From [0-9a-f]{40} |commit [0-9a-f]{40}|diff -|Index: |--- )(?:[^@\n].*\n|\n)*?"
    r"(?:diff --git .*\n|--- .*\n\+\+\+ .*\n@@ -\d)"
)
_PYTHON = regex.compile(r"^(?:async def|def|class|import|from|@\w|if __name__)\b?", regex.M)
_TRACE = regex.compile(r"\s*+(?:Traceback \(most recent call last\):\s|.*\n[ \t]+at \S.*[(:]\S+:\d+\)?\n)")  # up to an error
_REMARK = regex.compile(  # of code, or a Markdown's code: it says nothing of the lines around it
    r"^```.*?(?:^```[^\n]*|\Z)|/\*.*?(?:\*/|\Z)|(\"{3}|'{3}).*?(?:\1|\Z)"
    r"|^[ \t]*(?://|\#(?![!\w]|[ \t]*(?:define|if|endif|include)\b)|--[ -]).*?$",
    regex.M | regex.S,
)
_CODE_LINE = regex.compile(
    "|".join(
        [
            r".*(?:[;{}\\]|[\w\])]\(|[\]}'\"],|&&|\|\||=>)$",  # how a line of a statement ends
            r"\s*(?:[)\]}]|\#[ \t]*[a-z]+\b|\#!|\.\w+\(|@[\w.]+(?:\(.*\))?$)",  # how one begins
            r"\s*[\w.$:>*\[\]'\"-]++\((?:[^()]++|\([^()]*+\))*+\)[:;,]?$",  # a call
            r"\s*(?:[\w*&:<>]+ ){0,3}[\w.$@%>*&-]+(?:\[[^\]]*\])* ?[-+*/|&.:?]?=>? ?\S",  # an assignment
            r"\s+[\w'\"-]+: .*,$|\s+['\"].*['\"\]}],?$",  # an entry
            r"\s*(?:end|fi|done|esac|else|then|do|try:|else:|pass|break|continue|exit \d+)$",
            r"\s*(?:package \w+|(?:export )?import [\w.\"{(*].*|from \S+ import .*|namespace [\w:]+|template ?<.*)$",
            r"\s*(?:\w+ )?(?:func|fn|def|sub|function|class|struct) .*[\w(){:]$",
            r"\s*(?:if|elif|for|while|case|with|except|unless)\b.*(?:then|do|:|in|\))$",
            r"\s*(?:return|raise|assert|throw|yield)\b.*[\w)\]\"'`]$",
            r"(?:SELECT|FROM|WHERE|INSERT INTO|CREATE \w+|ALTER|DROP) \S",
        ]
    )
)
_SYNTAX = [  # what prose has none of, or one: calls, braces, assignments, operators, comments, statements, declarations
    regex.compile(pattern, regex.M)
    for pattern in (
        r"\w\([^()\n]*\)|\w\($",
        r"[{}][;,]?$",
        r"^[^\n.]*[\w\])]\s?[-+*:]?=\s?\S|^[ \t]+[\w-]+: \S[^\n]*;$",
        r"\w(?:::|->)\w|=>|&&|\|\||[!=]=|\+\+|\$\{?[A-Za-z_]",
        r"^[ \t]*(?://|/\*|\#!|\#[ \t]*(?:include|define|if\w*|endif)\b)",
        r"^[ \t]*(?:end|fi|done|esac|(?:return|const|let|var|public|static|package|import|using|def|func|fn|function)\b.*)$",
        r"^(?:CREATE|ALTER|DROP) TABLE |^SELECT .*\n?\s*FROM \w|^INSERT INTO \w",
    )
]


def find_format(text: str, format: object = None) -> str:
    """The name in `FORMATS` of a text's format, which may be given as the ending of a file; None: as the text looks."""
    if format is None:
        return looks_like(text)
    name = str(format).lower().lstrip(".")
    name = ENDINGS.get(name, name)
    if name not in FORMATS:
        raise LlmattrError(f"unknown format {format!r}{did_you_mean(name, FORMATS)} (there are: {', '.join(FORMATS)})")
    return name


def looks_like(text: str) -> str:
    """The format that a text looks like."""
    head = text[:_LOOKED_AT]
    lines = [line for line in newlines_of(head) if line.text.strip()]
    lines = lines[:-1] if len(text) > _LOOKED_AT else lines  # the last may be half a one
    if head.startswith("WEBVTT") or any(CUE.match(line.text) for line in lines[:2]):
        return "subtitles"
    if _LATEX.search(head):
        return "latex"
    if _DIFF.match(head):
        return "diff"
    if _is_html(text):
        return "html"
    if _are_records([line.text.strip() for line in lines[:20]]):
        return "records"
    if text.lstrip()[:1] in ("{", "[") and is_json(text):
        return "json"
    if _is_mail(lines):
        return "mail"
    if delimiter_of(text):
        return "table"
    if _is_code(head):
        return "code"
    if _RST.search(head) and "\n```" not in head:
        return "rst"
    if _ORG.match(head):
        return "org"
    return "markdown" if _MARKDOWN.search(head) or has_reasoning(text) else "plain"


def _is_html(text: str) -> bool:
    """Whether it begins with a tag, has one that ends, and is a page throughout."""
    if not (_HTML.match(text) and _HTML_END.search(text)):
        return False
    from llmattr.text.split.html import is_page

    return is_page(text)


def _are_records(lines: list[str]) -> bool:
    """Whether lines are JSON, each for itself, and the first an object or an array."""
    return len(lines) > 1 and lines[0][0] in "{[" and lines[1][0] in '{["' and all(map(is_json, lines))


def _is_mail(lines: list[Line]) -> bool:
    """Whether lines begin with headers, with an address or with who and about what; or quote who wrote."""
    says = [line.said for line in lines]
    headers = [line for line in says[:4] if HEADER.match(line)]
    sent = any("@" in line for line in headers) or _FROM_AND_ABOUT.search("\n".join(says[:8]))
    wrote = any(WROTE.match(line) and ("@" in line or ON_A_DAY.match(line)) for line in says)
    quotes = any(line.text.startswith(">") for line in lines)
    return (len(headers) > 1 and bool(sent)) or bool(says and FORWARD.match(says[0])) or (wrote and quotes)


def delimiter_of(text: str) -> str | None:
    """What parts the cells; None: this is no table.

    Rows have as many cells each, most of them where no white space stands before a cell, and the first names them, or there are
    quotation marks around cells of every row. A mark that every line ends with parts nothing.
    """
    if declared := DECLARED.match(text):
        return declared[1]
    head = newlines_of(text[:_LOOKED_AT])[: _ROWS + 1]
    for delimiter in DELIMITERS if head else "":
        if delimiter in head[0].text:
            rows = [row for row in csv.reader((line.text + "\n" for line in head), delimiter=delimiter) if row]
            if not any(row[-1] for row in rows):
                rows = [row[:-1] for row in rows]
            quoted = all(f'"{delimiter}' in line.text or f'{delimiter}"' in line.text for line in head if line.text.strip())
            if _is_table(rows[:-1] if len(head) > _ROWS else rows, quoted):
                return delimiter
    return None


def _is_table(rows: list[list[str]], quoted: bool) -> bool:
    if len(rows) < 2 or len(rows[0]) < 2 or not (quoted or are_names(rows[0])):
        return False
    alike = sum(len(row) == len(rows[0]) for row in rows)
    if any(cell[:1].isspace() for row in rows for cell in row[1:]):
        return len(rows) > 2 and alike == len(rows)
    return alike >= max(2, 0.7 * len(rows))


def are_names(row: list[str]) -> bool:
    """Whether cells name columns: all but the first have a name, and those of several words begin alike."""
    begin_alike = len({cell[0].isupper() for cell in row if " " in cell}) < 2
    return begin_alike and any(cell[:1].isalpha() for cell in row) and all(row[1:]) and all(map(_NAME.fullmatch, row))


def _is_code(head: str) -> bool:
    """Whether it is a trace of calls or Python, or half of its lines end as statements do and two kinds of syntax are there."""
    if _TRACE.match(head):
        return True
    if _PYTHON.search(head):
        from llmattr.text.split.code import is_python

        if is_python(head):
            return True
    if sum(bool(pattern.search(head)) for pattern in _SYNTAX) < 2:
        return False
    lines = [line.rstrip() for line in _REMARK.sub("", head).splitlines() if line.strip()]
    return sum(bool(_CODE_LINE.match(line)) for line in lines) > max(2, len(lines) // 2)
