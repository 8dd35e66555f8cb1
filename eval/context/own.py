"""Questions of one's own: rows `{"question", "documents": [{"title", "sentences": [...]}], "answer", "supporting"}`.

`title`, `answer` (text) and `supporting` ([[document, sentence], ...], counted from 0) may be left out. A row of another form
is refused with its number and what is wrong with it.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.context.data import Question, question
from llmattr.errors import LlmattrError
from llmattr.text.reading import read_rows

FORM = '{"question", "documents": [{"title", "sentences": [...]}], "answer", "supporting": [[document, sentence], ...]}'


def read_own(data: str | Path) -> Iterator[Question]:
    """The questions of a JSON lines file, or of a hub id; raises `LlmattrError` for a row of another form."""
    name = Path(data).stem
    for number, row in _numbered(data):
        try:
            row = json.loads(row) if isinstance(row, str) else row
            yield _own(f"{name}-{number}", row)
        except (ValueError, TypeError, RecursionError) as error:
            raise LlmattrError(f"row {number} of {Path(data).name}: {_reason(error)}") from None


def _numbered(data: str | Path) -> Iterator[tuple[int, Any]]:
    """Rows with their numbers from 1: lines of a file that are not blank, or dicts."""
    path = Path(data)
    if not path.is_file() or path.suffix in (".parquet", ".csv"):
        yield from enumerate(read_rows(str(data)), 1)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LlmattrError(f"{path.name} is not UTF-8: {error}") from None
    if text.lstrip().startswith("["):  # one JSON list instead of lines
        try:
            yield from enumerate(json.loads(text), 1)
            return
        except ValueError as error:
            raise LlmattrError(f"{path.name} is neither JSON lines nor a JSON list: {error}") from None
    if not text.strip():
        raise LlmattrError(f"{path.name} has no rows")
    lines = enumerate(text.split("\n"), 1)  # splitlines would cut inside a text, at U+2028
    yield from ((number, line) for number, line in lines if line.strip())


def _reason(error: Exception) -> str:
    return f"it is no JSON ({error})" if isinstance(error, json.JSONDecodeError) else next(iter(str(error).splitlines()), "?")


def _own(name: str, row: Any) -> Question:
    """A question from a row; raises `ValueError` with what is wrong."""
    if not isinstance(row, dict):
        raise ValueError(f"it must be {FORM}, not {row!r:.60}")
    if missing := [key for key in ("question", "documents") if row.get(key) is None]:
        raise ValueError(f"it has no {missing[0]!r}; it must be {FORM}")
    documents = _list("documents", row["documents"])
    papers = [_paper(f"document {i}", document) for i, document in enumerate(documents)]
    places = _list("supporting", row.get("supporting") or [])
    made = question(name, _text("question", row["question"]), papers, [_place(place, papers) for place in places])
    if not made.size:
        raise ValueError("its documents have no sentences")
    answer = _text("answer", row.get("answer") if row.get("answer") is not None else "", blank=True)
    return dataclasses.replace(made, answer=answer or None)


def _paper(name: str, document: Any) -> tuple[str | None, list[str]]:
    if not isinstance(document, dict) or "sentences" not in document:
        raise ValueError(f'{name} must be {{"title", "sentences": [...]}}, not {document!r:.60}')
    title = document.get("title")
    sentences = _list(f"the sentences of {name}", document["sentences"] if document["sentences"] is not None else [])
    texts = [_text(f"sentence {j} of {name}", one if one is not None else "", blank=True) for j, one in enumerate(sentences)]
    return (_text(f"the title of {name}", title, blank=True) or None) if title is not None else None, texts


def _place(place: Any, papers: Sequence[tuple[Any, Sequence[str]]]) -> tuple[int, int]:
    two = isinstance(place, (list, tuple)) and len(place) == 2 and all(type(one) is int for one in place)
    if not two or not (0 <= place[0] < len(papers) and 0 <= place[1] < len(papers[place[0]][1])):
        raise ValueError(f"supporting {place!r:.40} is no [document, sentence] of its documents, counted from 0")
    return place[0], place[1]


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} must be a list, not {value!r:.60}")
    return list(value)


def _text(name: str, value: Any, blank: bool = False) -> str:
    """Text without blanks at its ends; numbers are taken as they are written."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{name} must be a text, not {value!r:.60}")
    text = str(value).strip()
    if not text and not blank:
        raise ValueError(f"{name} is empty")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{name} has half a character (a lone surrogate): {text!r:.60}")
    return text
