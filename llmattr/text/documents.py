"""From what retrievers return, and what people write themselves, to documents: read by its shape, no library is imported."""

import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from numbers import Real
from typing import Any, NoReturn, Protocol, runtime_checkable

from llmattr.core.plain_json import plain
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, check_text
from llmattr.text.forms import Frame, rows_of_frame
from llmattr.text.readers import with_files_read

Context = object  # what `read_documents` reads

MOST = 10_000  # documents that are taken from what does not say how many it has
TEXTS = ("text", "page_content", "content", "document", "snippet")  # the first of them that is a text
METADATA = ("metadata", "meta")
IDS = ("id", "node_id", "id_")
VECTORS = ("embedding", "embeddings", "sparse_embedding", "vector")  # nothing that a reader is told
COLUMNS = {"documents": "text", "ids": "id", "metadatas": "metadata", "distances": "distance"}  # Chroma's
UNREAD = (bytes, bytearray, io.IOBase, set, frozenset)  # iterables that are no list of documents, or one in no order
ATTRIBUTES = (*TEXTS, *METADATA, *IDS, "title", "score", "source", "url", "page", "author", "date")


@runtime_checkable
class _Answer(Protocol):
    """LlamaIndex's `Response`."""

    source_nodes: Sequence[object]


@runtime_checkable
class _Scored(Protocol):
    """LlamaIndex's `NodeWithScore`."""

    node: object
    score: float | None


@runtime_checkable
class _Node(Protocol):
    """LlamaIndex's nodes, of which not all have a `text`."""

    def get_content(self) -> str: ...


@runtime_checkable
class _Row(Protocol):
    """A dict, or a pandas `Series`."""

    def items(self) -> Iterable[tuple[Any, Any]]: ...


def read_documents(context: Context) -> tuple[Document, ...]:
    """The documents of a context: one text, or one or several documents in any of the shapes that retrievers return.

    A document is a text; a dict, a row of pandas or datasets, or an object with a text (`text`, `page_content`, `content`,
    `document`, `snippet` or `get_content()`) and, if wanted, `title`, `id` or `node_id`, and `metadata` or `meta`, or further
    keys of a dict; a pair (document, score); or a `NodeWithScore`. So LangChain's, LlamaIndex's and Haystack's are read as they
    are. A `Path` stands for the documents of its file, or of all files of its folder (`read_files`). Several are any iterable
    of them, a data frame, Chroma's `{"documents": ..., "metadatas": ..., "ids": ...}` or a LlamaIndex `Response`; what has no
    length, such as a generator, is read once and gives at most `MOST`.

    The title (that of the metadata, where the document has none) is shown to the model. All metadata comes back with every
    citation, in forms that JSON has: a date or a path as text. Raises `LlmattrError` for anything else.
    """
    context = with_files_read(context)
    if isinstance(context, str):
        documents = (Document(context, "context"),)
    elif (one := _document(context, 1)) is not None:
        documents = (one,)
    else:
        documents = tuple(_document(given, number) or _refuse(given, number) for number, given in _numbered(context))
    for number, document in enumerate(documents, 1):
        _check(document, number)
    refuse_empty(documents)
    return documents


def read_document(given: object, number: int) -> Document:
    """One document in any of these shapes, the `number`-th of them."""
    document = _document(given, number) or _refuse(given, number)
    _check(document, number)
    return document


def refuse_empty(documents: Sequence[Document]) -> None:
    """Raise `LlmattrError` where no document has a text."""
    if not any(document.text.strip() for document in documents):
        raise LlmattrError("the context is empty: there is nothing to attribute the answer to")


def _check(document: Document, number: int) -> None:
    check_text(document.text, f"document {number}")
    check_text(document.title or "", f"the title of document {number}")
    check_text(document.id, f"the id of document {number}")
    check_text(json.dumps(plain(document.metadata), ensure_ascii=False), f"the metadata of document {number}")


def _refuse(given: object, number: int) -> NoReturn:
    raise LlmattrError(
        f"document {number} must be a text, or a dict with 'text' (and 'title', 'id', 'metadata'), or what a retriever "
        f"returns; it is {_shown(given):.80}"
    )


def _shown(given: object) -> str:
    return " ".join(repr(given).split())


def _numbered(context: object) -> Iterator[tuple[int, object]]:
    """The documents of several, from 1 on; of what does not say how many there are, not without end."""
    documents = _several(context)
    for number, document in enumerate(documents, 1):
        if number > MOST and not isinstance(documents, Sized):
            raise LlmattrError(f"the context has given {MOST:,} documents and goes on: give fewer of them, or a list")
        yield number, document


def _several(context: object) -> Iterable[object]:
    """What stands in a retriever's result, a data frame or any iterable."""
    if isinstance(context, _Answer):
        return context.source_nodes
    if isinstance(context, Frame):
        return rows_of_frame(context)
    if isinstance(context, Mapping):
        return _columns(context) if isinstance(context.get("documents"), (list, tuple)) else [context]
    if not isinstance(context, Iterable) or isinstance(context, UNREAD):
        raise LlmattrError(f"the context must be a text or a list of documents, not {_shown(context):.60}")
    return context


def _columns(result: Mapping[str, Any]) -> list[object]:
    """The documents of a result that holds them by columns, with a list for each query (Chroma) or without; or as they are."""
    columns = {field: _column(result.get(name)) for name, field in COLUMNS.items()}
    documents = columns["text"]
    if not any(isinstance(document, str) for document in documents):
        return documents  # Haystack's
    columns = {field: cells for field, cells in columns.items() if len(cells) == len(documents)}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _column(given: Sequence[Any] | None) -> list[Any]:
    given = given or ()
    lists = all(isinstance(one, (list, tuple)) for one in given)
    return [cell for one in given for cell in one] if lists else list(given)


def _document(given: object, number: int) -> Document | None:
    """The document that this is; None where it is none."""
    given, score = _without_score(given)
    if isinstance(given, Document):
        return given if score is None else dataclasses.replace(given, metadata={"score": score, **given.metadata})
    fields = _fields(given) if score is None else {**_fields(given), "score": score}
    text = next((key for key in TEXTS if isinstance(fields.get(key), str)), None)
    if text is None:
        return None
    try:
        name = plain(next((fields[key] for key in IDS if fields.get(key) is not None), None))
        title, metadata = _known(fields, text)
    except RecursionError:
        raise LlmattrError(f"the metadata of document {number} contain themselves") from None
    return Document(fields[text], str(name if name is not None else title or number), title, metadata=metadata)


def _without_score(given: object) -> tuple[object, float | None]:
    if isinstance(given, _Scored):
        return given.node, given.score
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Real):
        return given[0], float(given[1])
    return given, None


def _fields(given: object) -> dict[str, Any]:
    """What a document has, by name; empty for what is none."""
    if isinstance(given, str):
        return {"text": given}
    if isinstance(given, Frame):
        return {}
    if isinstance(given, _Row):
        return {str(key): value for key, value in given.items()}
    fields = {name: getattr(given, name, None) for name in ATTRIBUTES}
    return {**fields, "text": given.get_content()} if isinstance(given, _Node) else fields


def _known(fields: Mapping[str, Any], text: str) -> tuple[str | None, dict[str, Any]]:
    """The title, and what else is known beside text and id; a title alone stays what it is, no metadata."""
    nested = next((key for key in METADATA if isinstance(fields.get(key), Mapping)), None)
    metadata = {} if nested is None else plain(fields[nested])
    taken = {text, nested, "title", *IDS, *VECTORS}
    further = plain({key: value for key, value in fields.items() if key not in taken})
    known = {**{key: value for key, value in further.items() if value is not None}, **metadata}
    title = plain(fields.get("title"))
    if title is None and isinstance(metadata.get("title"), str):
        title = metadata["title"]
    return title, {"title": title, **known} if known and title is not None else known
