"""Notebooks of Jupyter: their cells, Markdown and code, with what the code wrote."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.blocks import Block, composed
from llmattr.text.readers.encodings import decode

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FENCES = re.compile(r"`{3,}")


def read_notebook(data: bytes, name: str) -> Document:
    """A notebook as Markdown, with the number of each cell, from 1; pictures and other outputs without a text are left out.

    Source: the notebook format, versions 3 and 4 (nbformat.readthedocs.io).
    """
    text = decode(data, name)
    try:
        book = json.loads(text)
        about = book.get("metadata", {})
        language = (about.get("language_info") or about.get("kernelspec") or {}).get("name", "python")
        cells = [cell for sheet in book.get("worksheets", [book]) for cell in sheet["cells"]]
        blocks = [Block(text, {"cell": i}) for i, cell in enumerate(cells, 1) for text in _texts(cell, language)]
    except (ValueError, RecursionError) as error:
        raise LlmattrError(f"{name!r} is a notebook that cannot be read: it is no JSON ({error!s:.80})") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise LlmattrError(f"{name!r} is a notebook that cannot be read: it has no cells, or one that is none") from error
    text, places = composed(blocks)
    title = about.get("title")
    return Document(text, name, format="markdown", metadata={"title": title} if title else {}, places=places)


def _texts(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    said = _joined(cell.get("source", cell.get("input", "")))
    if cell["cell_type"] != "code":
        level = cell.get("level")  # of a heading, in version 3
        yield f"{'#' * level} {said}" if level else said
        return
    yield _fenced(said, language)
    for output in cell.get("outputs", ()):
        yield _fenced(_output(output), "")


def _output(output: Mapping[str, Any]) -> str:
    """The text of an output; the last line of what went wrong."""
    if output.get("ename"):
        return f"{output['ename']}: {output.get('evalue', '')}"
    return _joined(output.get("text") or output.get("data", {}).get("text/plain") or "")


def _fenced(text: str, language: str) -> str:
    text = _COLOUR.sub("", text).strip("\n")
    fence = max(["``", *_FENCES.findall(text)], key=len) + "`"
    return f"{fence}{language}\n{text}\n{fence}" if text.strip() else ""


def _joined(lines: str | Iterable[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
