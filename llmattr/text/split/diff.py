"""Patches (unified diffs): what a hunk says is code; headers, names of files and counts say nothing; what is above is text."""

import itertools
from collections.abc import Iterator, Sequence

import regex

from llmattr.text.split import mail, plain
from llmattr.text.split.blocks import Block, Line, newlines_of, shifted
from llmattr.text.split.formats import HEADER

_HUNK = regex.compile(r"@@+ -\d+(?:,(?P<old>\d+))? .*\+\d+(?:,(?P<new>\d+))? @@+")
_BODY = regex.compile(r"[ +\-\\\t]|$")
_MARKUP = regex.compile(
    r"diff -|index [0-9a-f]+\.\.|Index: |Only in .+: |Binary files |GIT binary patch|(?:dis)?similarity index "
    r"|(?:rename|copy) (?:from|to) |(?:old|new|new file|deleted file) mode \d|(?:---|\+\+\+)(?:\s|$)|={20,}|@@|\\ No |-- $"
    r"|commit [0-9a-f]{7,40}|From [0-9a-f]{40} "
    r"| \S.*\|\s+(?:\d+ ?[+-]*|Bin.*)$| \d+ files? changed| (?:create|delete) mode \d| rename \S.*\)$|\d+(?:\.\d+)+\S*$"
)
_LONG = 30  # lines: a hunk of more is cut where changes begin and end, and those at blank lines


def blocks(text: str) -> list[Block]:
    """The blocks of a patch, with what its author says of it."""
    lines = newlines_of(text)
    found: list[Block] = []
    said = at = 0  # from which line on nothing but text was read
    while at <= len(lines):
        hunk = _HUNK.match(lines[at].text) if at < len(lines) else None
        if at == len(lines) or hunk or _MARKUP.match(lines[at].text):
            found += _text(text, lines[said:at])
            said = _hunk_end(lines, at + 1, int(hunk["old"] or 1), int(hunk["new"] or 1)) if hunk else at + 1
            found += [Block(piece[0].start, piece[-1].end, "code") for piece in _pieces(lines[at + 1 : said])]
            at = said
        else:
            at += 1
    return found


def _text(text: str, lines: Sequence[Line]) -> list[Block]:
    """What is said above hunks, which may be a mail."""
    if not lines:
        return []
    start, end = lines[0].start, lines[-1].end
    return shifted((mail if HEADER.match(lines[0].text) else plain).blocks(text[start:end]), start)


def _hunk_end(lines: Sequence[Line], at: int, old: int, new: int) -> int:
    """Behind as many lines as a hunk's header counts, or where its lines end."""
    while at < len(lines) and (old > 0 or new > 0) and _BODY.match(lines[at].text):
        mark = lines[at].text[:1]
        old -= mark not in ("+", "\\")
        new -= mark not in ("-", "\\")
        at += 1
    return at


def _pieces(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    if len(lines) <= _LONG:
        yield from [lines] if lines else []
        return
    for _, those in itertools.groupby(lines, key=lambda line: line.text[:1] in ("+", "-")):
        run = list(those)
        for blank, piece in itertools.groupby(run, key=lambda line: len(run) > _LONG and not line.text[1:].strip()):
            if not blank:
                yield list(piece)
