"""Delimited text: a row is a source, the header, where there is one, cannot be quoted."""

import csv

from llmattr.text.split.blocks import Block, Line, newlines_of
from llmattr.text.split.formats import DECLARED, DELIMITERS, are_names, delimiter_of

_LONG = 20_000  # characters of a header


def blocks(text: str) -> list[Block]:
    """One block a record, also where it runs over lines."""
    declared = DECLARED.match(text)
    lines = newlines_of(text)[1 if declared else 0 :]
    delimiter = delimiter_of(text) or max(DELIMITERS, key=(lines[0].text if lines else "").count)
    names = next(csv.reader([lines[0].text[:_LONG].rstrip(delimiter)], delimiter=delimiter), []) if lines else []
    found = []
    for number, (first, last) in enumerate(_records(lines, delimiter)):
        start, end = lines[first].start, lines[last - 1].end
        said = text[start:end]
        start += len(said) - len(said.lstrip())
        found.append(Block(start, start + len(said.strip()), "row", number > 0 or not are_names(names)))
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
