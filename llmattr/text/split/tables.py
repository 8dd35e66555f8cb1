"""Delimited text: a row is a source, the header, where there is one, cannot be quoted."""

import csv

import regex

from llmattr.text.split.blocks import Block, Line, newlines_of

_DELIMITERS = ",;\t|"
_LOOKED_AT = 20_000  # characters
_NAME = regex.compile(r"\p{L}[\p{L}\p{M}\d _.()%/?'’&:#€$-]{0,40}|[12]\d{3}|")  # of a column: a word or a few, a year, none
_CELLS = 30  # rows that are looked at


def blocks(text: str) -> list[Block]:
    """One block a record, also where it runs over lines."""
    lines = newlines_of(text)
    delimiter = delimiter_of(text) or max(_DELIMITERS, key=(lines[0].text if lines else "").count)
    names = next(csv.reader([lines[0].text[:_LOOKED_AT].rstrip(delimiter)], delimiter=delimiter), []) if lines else []
    found = []
    for number, (first, last) in enumerate(_records(lines, delimiter)):
        start, end = lines[first].start, lines[last - 1].end
        said = text[start:end]
        start += len(said) - len(said.lstrip())
        found.append(Block(start, start + len(said.strip()), "row", number > 0 or not _are_names(names)))
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
    """What parts the cells; None: this is no table.

    Rows have as many cells each, most of them where no white space stands before a cell, and the first names them, or there are
    quotation marks around cells of every row. A mark that every line ends with parts nothing.
    """
    head = newlines_of(text[:_LOOKED_AT])[: _CELLS + 1]
    for delimiter in _DELIMITERS if head else "":
        if delimiter in head[0].text:
            rows = [row for row in csv.reader((line.text + "\n" for line in head), delimiter=delimiter) if row]
            if not any(row[-1] for row in rows):
                rows = [row[:-1] for row in rows]
            quoted = all(f'"{delimiter}' in line.text or f'{delimiter}"' in line.text for line in head if line.text.strip())
            if _is_table(rows[:-1] if len(head) > _CELLS else rows, quoted):
                return delimiter
    return None


def _is_table(rows: list[list[str]], quoted: bool) -> bool:
    if len(rows) < 2 or len(rows[0]) < 2 or not (quoted or _are_names(rows[0])):
        return False
    alike = sum(len(row) == len(rows[0]) for row in rows)
    if any(cell[:1].isspace() for row in rows for cell in row[1:]):
        return len(rows) > 2 and alike == len(rows)
    return alike >= max(2, 0.7 * len(rows))


def _are_names(row: list[str]) -> bool:
    """Whether cells name columns: all but the first have a name, and those of several words begin alike."""
    begin_alike = len({cell[0].isupper() for cell in row if " " in cell}) < 2
    return begin_alike and any(cell[:1].isalpha() for cell in row) and all(row[1:]) and all(map(_NAME.fullmatch, row))
