"""Rows of text files as they are written: JSON, JSON lines and CSV, of which a block is read when it is asked for."""

import codecs
import csv
import io
import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, overload

from llmattr.core.plain_json import is_json
from llmattr.errors import LlmattrError
from llmattr.text.readers.encodings import decode
from llmattr.text.readers.finding import shown
from llmattr.text.row_objects import rows_inside

BLOCK = 1024  # rows that are read together
LINE = 2**28  # bytes of the longest line that is taken for a part of a row
WHOLE = 2**30  # bytes of a file that must be read at once

Records = Callable[[io.BufferedIOBase], Iterator[tuple[int, int, dict[str, Any]]]]  # rows, each with its line and first byte


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Sequence[dict[str, Any]]):
    """Rows that stay where they are; `read(start, stop)` reads some of them, `name(i)` says which one of which file it is."""

    length: int
    read: Callable[[int, int], list[dict[str, Any]]]
    name: Callable[[int], str]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        chosen = range(self.length)[place]
        if isinstance(chosen, int):
            return self.read(chosen, chosen + 1)[0]
        return self.read(chosen.start, chosen.stop) if chosen.step == 1 and chosen else [self[i] for i in chosen]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, self.length, BLOCK):
            yield from self.read(start, min(start + BLOCK, self.length))


def json_lines(path: Path) -> Sequence[dict[str, Any]]:
    """One JSON object a line. Raises `ValueError` with the line that is none, as do the others."""
    return _of_records(path, _opener(path), _json_records, in_lines=True)


def json_file(path: Path) -> Sequence[dict[str, Any]] | Mapping[str, Any]:
    """A list of JSON objects, one object (its rows or splits, `rows_inside`), or JSON lines by another name."""
    opened = _opener(path)
    with opened() as file:
        lines = list(islice((text for _, _, text in _lines(file) if text.strip()), 2))
        if len(lines) == 2 and not lines[0].lstrip().startswith("[") and is_json(lines[0]):
            return _of_records(path, opened, _json_records, in_lines=True)
        file.seek(0)
        found = _loaded(file.read().decode("utf-8-sig") or "[]")
    if isinstance(found, dict):
        return rows_inside(found)
    rows = found if isinstance(found, list) else [found]
    if strange := [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]:
        raise ValueError(f"row {strange[0]} is not a JSON object: {rows[strange[0] - 1]!r:.60}")
    return rows


def csv_file(path: Path) -> Sequence[dict[str, Any]]:
    """Every cell as text; the columns are parted by what stands oftenest in the first line: comma, semicolon or tab.

    Where tabs part every line into as many cells as the first, a line is a row, and a quote that is not around a cell is text.
    """
    csv.field_size_limit(max(LINE, csv.field_size_limit()))  # a long text is no mistake
    opened = _opener(path)
    with opened() as file:
        first = next((text for _, _, text in _lines(file)), "")
        delimiter = max(",;\t", key=first.count)
        file.seek(0)
        plain = delimiter == "\t" and len({text.count("\t") for _, _, text in _lines(file) if text.strip()}) == 1
        read = _line_cells if plain else partial(_csv_cells, delimiter=delimiter)
        file.seek(0)
        header = [cell.strip() for cell in next((cells for _, _, cells in read(file)), [])]
    if len(set(header)) < len(header):
        raise ValueError(f"two columns have the same name: {', '.join(header)}")

    def records(file: io.BufferedIOBase) -> Iterator[tuple[int, int, dict[str, Any]]]:
        begins = file.tell() == 0
        for number, start, cells in islice(read(file), int(begins), None):
            if len(cells) != len(header):
                raise ValueError(f"line {number} has {len(cells)} cells, the header has {len(header)}")
            yield number, start, dict(zip(header, cells, strict=True))

    return _of_records(path, opened, records)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno} is not JSON ({error.msg})") from None


def _of_records(path: Path, opened: Callable[[], io.BufferedIOBase], records: Records, in_lines: bool = False) -> Rows:
    """The rows of a file, which is read through once to find mistakes and where each row begins."""
    stamp = _stamp(path)
    with opened() as file:
        places = array("q", (place for line, start, _ in records(file) for place in (line, start)))
    lines, starts = places[::2], places[1::2]

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        if _stamp(path) != stamp:
            raise LlmattrError(f"the file {str(path)!r} was changed while it was read: begin again")
        with opened() as file:
            file.seek(starts[start])
            return [row for _, _, row in islice(records(file), stop - start)]

    def name(row: int) -> str:
        return f"line {lines[row]} of {shown(path)!r}" if in_lines else row_name(path, row)

    return Rows(len(starts), read, name)


def row_name(path: object, row: int) -> str:
    """A row of a table, or of what else a name stands for, as people count."""
    return f"row {row + 1} of {str(path)!r}"


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with a file; nothing of it where it is gone."""
    found = path.stat() if path.exists() else None
    return (found.st_size, found.st_mtime_ns) if found else (0, 0)


def _opener(path: Path) -> Callable[[], io.BufferedIOBase]:
    """What opens the file; one that is not in UTF-8 is read at once (`decode`) and given so."""
    if _is_utf8(path):
        return lambda: path.open("rb")
    if path.stat().st_size > WHOLE:
        raise ValueError("it is not UTF-8, and too large to be read otherwise: convert it, for example with iconv -t utf-8")
    text = decode(path.read_bytes(), shown(path)).encode()
    return lambda: io.BytesIO(text)


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(2**20), b""):
                decoder.decode(block)
                if b"\0" in block:
                    return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _lines(file: io.BufferedIOBase) -> Iterator[tuple[int, int, str]]:
    """The number, the first byte and the text of each line; raises `ValueError` for one that is too long."""
    start = file.tell()
    for number in count(1):
        line = file.readline(LINE + 1)
        if not line:
            return
        if len(line) > LINE:
            raise ValueError(f"line {number} is longer than {LINE >> 20} MB")
        yield number, start, line.decode("utf-8" if start else "utf-8-sig")
        start += len(line)


def _json_records(file: io.BufferedIOBase) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for number, start, line in _lines(file):
        if line.strip():
            yield number, start, _json_object(line, number)


def _json_object(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line.rstrip("\r\n"))
        if "\\ud" in line.lower():  # only what is spelled so can be half a character
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        broken = error.object[error.start]
        raise ValueError(f"line {number} is not valid Unicode ({error.reason}): {broken!r}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is not a JSON object: {line.strip()!r:.60}")
    return row


def _csv_cells(file: io.BufferedIOBase, delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """The last line, the first byte and the cells of each record, which may go over several lines."""
    start = file.tell()
    reader = csv.reader((text for _, _, text in _lines(file)), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, start, cells
            start = file.tell()
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV ({error})") from None


def _line_cells(file: io.BufferedIOBase) -> Iterator[tuple[int, int, list[str]]]:
    """The same of a file whose every line is a record with tabs between its cells."""
    for number, start, line in _lines(file):
        if line.strip():
            yield number, start, [_unquoted(cell) for cell in line.rstrip("\r\n").split("\t")]


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
