"""How a text is built: by its name, else as it looks; what does not clearly look like anything is plain."""

from collections.abc import Callable

import regex

from llmattr.core.plain_json import is_json
from llmattr.errors import LlmattrError, did_you_mean
from llmattr.text.split import code, html, mail, markdown, plain, reasoning, records, subtitles, tables, tree
from llmattr.text.split.blocks import Block

FORMATS: dict[str, Callable[[str], list[Block]]] = {
    "plain": plain.blocks,
    "markdown": markdown.blocks,
    "answer": markdown.answer,
    "html": html.blocks,
    "code": code.blocks,
    "table": tables.blocks,
    "records": records.blocks,
    "json": tree.blocks,
    "mail": mail.blocks,
    "subtitles": subtitles.blocks,
}
_ENDINGS = {
    "plain": "txt text log pdf docx odt rtf tex rst",
    "markdown": "md mdx mkd markdown",
    "html": "htm xhtml html",
    "code": "py pyi js mjs ts tsx jsx java c h cc cpp hpp cs go rs rb php swift kt scala sh bash sql r jl lua pl yaml yml "
    "toml ini css",
    "table": "csv tsv",
    "records": "jsonl ndjson",
    "json": "json geojson",
    "mail": "eml email mbox",
    "subtitles": "srt vtt",
}
_ALIASES = {ending: name for name, endings in _ENDINGS.items() for ending in endings.split()}

_LOOKED_AT = 20_000  # characters
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
_PYTHON = regex.compile(r"^(?:async def|def|class|import|from|@\w|if __name__)\b?", regex.M)
_CODE_LINE = regex.compile(
    r".*[;{}]$|.*[\w\])]\($|\s*(?://|/\*|\*/|\* |[)\]}]+[;,]?\s*$|\#!|\#include\b|(?:end|fi|done|esac|else|then)$)"
    r"|\s*(?:package \w+$|import [\"(]|(?:\w+ )?(?:func|fn|def|function) .*[\w(){:]$|(?:if|elif|for|while) .*(?:then|do|:)$)"
    r"|\s*(?:return\b.*[\w)\]\"'`]$|(?:echo|puts|export|set) \S+|SELECT |FROM \w|WHERE \w|INSERT INTO |CREATE TABLE )"
)
_SYNTAX = [  # what prose has none of, or one: calls, braces, assignments, operators, comments, statements, declarations
    regex.compile(pattern, regex.M)
    for pattern in (
        r"\w\([^()\n]*\)|\w\($",
        r"[{}][;,]?$",
        r"^[^\n.]*[\w\])]\s?[-+*:]?=\s?\S",
        r"\w(?:::|->)\w|=>|&&|\|\||[!=]=|\+\+|\$\{?[A-Za-z_]",
        r"^[ \t]*(?://|/\*|\#!|\#include\b)",
        r"^[ \t]*(?:end|fi|done|esac|(?:return|const|let|var|public|static|package|import|using|def|func|fn|function)\b.*)$",
        r"^(?:CREATE|ALTER|DROP) TABLE |^SELECT .*\n?\s*FROM \w|^INSERT INTO \w",
    )
]


def looks_like(text: str) -> str:
    """The format that a text looks like."""
    head = text[:_LOOKED_AT]
    if subtitles.are_subtitles(head):
        return "subtitles"
    if _HTML.match(head) and _HTML_END.search(text) and html.is_page(text):
        return "html"
    if records.are_records(head):
        return "records"
    if text.lstrip()[:1] in ("{", "[") and is_json(text):
        return "json"
    if mail.is_mail(head):
        return "mail"
    if tables.delimiter_of(text):
        return "table"
    if _is_code(head):
        return "code"
    return "markdown" if _MARKDOWN.search(head) or reasoning.has_reasoning(text) else "plain"


def _is_code(head: str) -> bool:
    """Whether it says so in Python, or half of its lines end as statements do and two kinds of syntax are there."""
    if _PYTHON.search(head) and code.is_python(head):
        return True
    lines = [line for line in head.splitlines() if line.strip()]
    if sum(bool(pattern.search(head)) for pattern in _SYNTAX) < 2:
        return False
    return sum(bool(_CODE_LINE.match(line.rstrip())) for line in lines) > max(2, len(lines) // 2)


def find_format(text: str, format: str | None = None) -> str:
    """The name in `FORMATS` of a text's format, which may be given as the ending of a file; None: as the text looks."""
    if format is None:
        return looks_like(text)
    name = format.lower().lstrip(".")
    name = _ALIASES.get(name, name)
    if name not in FORMATS:
        raise LlmattrError(f"unknown format {format!r}{did_you_mean(format, FORMATS)} (there are: {', '.join(FORMATS)})")
    return name
