"""Delimited text: a row is a source, the header is kept and cannot be quoted."""

import csv

import regex

from llmattr.text.split.blocks import Block, Line, newlines_of

_DELIMITERS = ",;\t|"
_CELLS = 30  # rows that are looked at


def blocks(text: str) -> list[Block]:
    """One block a record, also where it runs over lines."""
    lines = newlines_of(text)
    delimiter = delimiter_of(text) or max(_DELIMITERS, key=(lines[0].text if lines else "").count)
    found = []
    for number, (first, last) in enumerate(_records(lines, delimiter)):
        start, end = lines[first].start, lines[last - 1].end
        said = text[start:end]
        start += len(said) - len(said.lstrip())
        found.append(Block(start, start + len(said.strip()), "row", number > 0))
    return [block for block in found if text[block.start : block.end].strip()]


def _records(lines: list[Line], delimiter: str) -> list[tuple[int, int]]:
    reader = csv.reader((line.text + "\n" for line in lines), delimiter=delimiter)
    found, first = [], 0
    try:
        for _ in reader:
            found.append((first, reader.line_num))
            first = reader.line_num
    except csv.Error:  # a cell that is longer than csv takes: from there on by line
        found += [(k, k + 1) for k in range(first, len(lines))]
    return found


def delimiter_of(text: str) -> str | None:
    """What parts the cells, where every row has as many and the first names them; None: this is no table."""
    head = newlines_of(text[:20_000])[: _CELLS + 1]
    for delimiter in _DELIMITERS:
        names = head[0].text.split(delimiter) if head else []
        if len(names) < 2 or not all(regex.match(r"\p{L}[\p{L}\d _.()%/-]{0,40}$|\"[^\"]{1,40}\"$", name) for name in names):
            continue
        rows = [len(row) for row in csv.reader((line.text + "\n" for line in head[:_CELLS]), delimiter=delimiter) if row]
        if len(rows) > 2 and set(rows[: -1 if len(head) > _CELLS else None]) == {len(names)}:
            return delimiter
    return None
