"""Rows of text files as they are written: JSON, JSON lines and CSV, of which a block is read when it is asked for."""

import codecs
import csv
import io
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, overload

from llmattr.errors import LlmattrError

BLOCK = 1024  # rows that are read together
LINE = 2**28  # bytes of the longest line that is taken for a part of a row

Records = Callable[[io.BufferedIOBase], Iterator[tuple[int, dict[str, Any]]]]  # rows, each with its first byte


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Sequence[dict[str, Any]]):
    """Rows that stay where they are; `read(start, stop)` reads some of them."""

    length: int
    read: Callable[[int, int], list[dict[str, Any]]]

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
    return _of_records(path, _opener(path), _json_records)


def json_file(path: Path) -> Sequence[dict[str, Any]]:
    """A list of JSON objects, one object over several lines, or JSON lines by another name."""
    opened = _opener(path)
    with opened() as file:
        first = next((text for _, _, text in _lines(file) if text.strip()), "{}")
        if not first.lstrip().startswith("[") and _is_json(first):
            return _of_records(path, opened, _json_records)
        file.seek(0)
        found = json.loads(file.read().decode("utf-8-sig"))
    rows = found if isinstance(found, list) else [found]
    if strange := [number for number, row in enumerate(rows) if not isinstance(row, dict)]:
        raise ValueError(f"row {strange[0]} is not a JSON object: {rows[strange[0]]!r:.60}")
    return rows


def csv_file(path: Path) -> Sequence[dict[str, Any]]:
    """Every cell as text; the columns are parted by what stands oftenest in the first line: comma, semicolon or tab."""
    csv.field_size_limit(max(LINE, csv.field_size_limit()))  # a long text is no mistake
    opened = _opener(path)
    with opened() as file:
        first = next((text for _, _, text in _lines(file)), "")
        delimiter = max(",;\t", key=first.count)
        file.seek(0)
        header = next((cells for _, _, cells in _csv_cells(file, delimiter)), [])
    if len(set(header)) < len(header):
        raise ValueError(f"two columns have the same name: {', '.join(header)}")

    def records(file: io.BufferedIOBase) -> Iterator[tuple[int, dict[str, Any]]]:
        begins = file.tell() == 0
        for number, start, cells in islice(_csv_cells(file, delimiter), int(begins), None):
            if len(cells) != len(header):
                raise ValueError(f"line {number} has {len(cells)} cells, the header has {len(header)}")
            yield start, dict(zip(header, cells, strict=True))

    return _of_records(path, opened, records)


def _of_records(path: Path, opened: Callable[[], io.BufferedIOBase], records: Records) -> Rows:
    """The rows of a file, which is read through once to find mistakes and where each row begins."""
    stamp = _stamp(path)
    with opened() as file:
        starts = array("q", (start for start, _ in records(file)))

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        if _stamp(path) != stamp:
            raise LlmattrError(f"the file {str(path)!r} was changed while it was read: begin again")
        with opened() as file:
            file.seek(starts[start])
            return [row for _, row in islice(records(file), stop - start)]

    return Rows(len(starts), read)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with a file; nothing of it where it is gone."""
    found = path.stat() if path.exists() else None
    return (found.st_size, found.st_mtime_ns) if found else (0, 0)


def _opener(path: Path) -> Callable[[], io.BufferedIOBase]:
    """What opens the file; one in UTF-16, as Windows writes it, is read at once and given in UTF-8."""
    with path.open("rb") as file:
        windows = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    text = path.read_bytes().decode("utf-16").encode() if windows else None
    return lambda: path.open("rb") if text is None else io.BytesIO(text)


def _lines(file: io.BufferedIOBase) -> Iterator[tuple[int, int, str]]:
    """The number, the first byte and the text of each line; raises `ValueError` for one that is no text."""
    start = file.tell()
    for number in count(1):
        line = file.readline(LINE + 1)
        if not line:
            return
        if len(line) > LINE:
            raise ValueError(f"line {number} is longer than {LINE >> 20} MB")
        try:
            yield number, start, line.decode("utf-8" if start else "utf-8-sig")
        except UnicodeDecodeError as error:
            wrong = f"line {number} is not UTF-8 (byte 0x{error.object[error.start]:02x})"
            raise ValueError(f"{wrong}: convert the file, for example with iconv -f latin1 -t utf-8") from None
        start += len(line)


def _json_records(file: io.BufferedIOBase) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, start, line in _lines(file):
        if line.strip():
            yield start, _json_object(line, number)


def _json_object(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if "\\ud" in line.lower():  # only what is spelled so can be half a character
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        broken = error.object[error.start]
        raise ValueError(f"line {number} is not valid Unicode ({error.reason}): {broken!r}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is not a JSON object: {line.strip()!r:.60}")
    return row


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


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
