"""What retrievers and searches return, to documents: read by its shape, no library is imported."""

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from llmattr.core.plain_json import plain
from llmattr.core.progress import heed
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.forms import Frame, named, parts_text, plain_part, rows_of_frame, shown

TEXTS = ("text", "page_content", "content", "document", "snippet", "chunk")  # the first of them that is a text
METADATA = ("metadata", "meta")
INSIDE = (*METADATA, "payload", "_source", "properties", "entity", "fields", "document")  # where else a text may stand
IDS = ("id", "node_id", "id_", "_id", "uuid")
VECTORS = ("embedding", "embeddings", "sparse_embedding", "vector")  # nothing that a reader is told
VECTOR = 16  # numbers of a list that is one by another name
COLUMNS = {"documents": "text", "ids": "id", "metadatas": "metadata", "distances": "distance"}  # Chroma's
LISTS = ("documents", "source_nodes", "matches", "points", "hits", "results", "retrievalResults", "objects", "data")
LISTS += ("result", "body")  # of answers of servers, around those
UNREAD = (bytes, bytearray, io.IOBase, set, frozenset)  # iterables that are no list of documents, or one in no order
ATTRIBUTES = (*TEXTS, *INSIDE, *IDS, "title", "score", "source", "filename", "url", "page", "author", "date")


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


def several(context: object) -> Iterable[object]:
    """What stands in a retriever's result, a data frame or any iterable."""
    if isinstance(context, Frame):
        return rows_of_frame(context)
    if (found := _listed(context)) is not None:
        return found
    if isinstance(context, Mapping):
        return [context]
    if not isinstance(context, Iterable) or isinstance(context, UNREAD):
        raise LlmattrError(f"the context must be a text or a list of documents, not {shown(context)}")
    if isinstance(context, list) and context and all(isinstance(one, list) for one in context):
        return [one for found in context for one in found]  # those of several queries
    return context


def document_of(given: object, number: int) -> Document | None:
    """The document that this is, the `number`-th of several; None where it is none."""
    heed()
    try:
        return _document(given, number)
    except RecursionError:
        raise LlmattrError(f"the metadata of document {number} contain themselves") from None
    except Exception as error:  # what a property of someone else's class raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise LlmattrError(f"document {number}, a {type(given).__name__}, cannot be read ({reason:.80})") from error


def _listed(result: object) -> Sequence[object] | None:
    """The list in a result, under one of the names that it has; what a pipeline's step returned stands one deeper."""
    if isinstance(result, Mapping):
        if any(isinstance(one, str) for one in _column(result.get("documents"))):
            return _by_columns(result)
        steps = [] if any(named(result, LISTS).values()) else [step for one in result.values() if (step := _step(one))]
        if len(steps) > 1:
            raise LlmattrError(f"several of {', '.join(map(str, result))} have documents: give those of one")
        if steps:
            return steps[0]
    for one in named(result, LISTS).values():
        if isinstance(one, Mapping) and (inner := _listed(one)) is not None:
            return inner
        if isinstance(one, (list, tuple)):
            return one
    return None


def _step(given: object) -> Sequence[object] | None:
    """Haystack's `{"documents": [...]}`, which stands under the name of a component."""
    documents = given.get("documents") if isinstance(given, Mapping) else None
    return documents if isinstance(documents, (list, tuple)) else None


def _by_columns(result: Mapping[str, Any]) -> list[object]:
    """The documents of a result that holds them by columns, with a list for each query (Chroma) or without."""
    columns = {field: _column(result.get(name)) for name, field in COLUMNS.items()}
    columns = {field: cells for field, cells in columns.items() if len(cells) == len(columns["text"])}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _column(given: object) -> list[Any]:
    given = given if isinstance(given, (list, tuple)) else ()
    lists = all(isinstance(one, (list, tuple)) for one in given)
    return [cell for one in given for cell in one] if lists else list(given)


def _document(given: object, number: int) -> Document | None:
    given, score = _without_score(given)
    if isinstance(given, Document):
        return given if score is None else dataclasses.replace(given, metadata={"score": score, **given.metadata})
    fields = _fields(given) if score is None else {**_fields(given), "score": score}
    key, fields = _found(fields)
    if key is None:
        return None
    name = plain(next((fields[key] for key in IDS if fields.get(key) is not None), None))
    title, metadata = _known(fields, key)
    return Document(parts_text(fields[key]) or "", str(name if name is not None else title or number), title, metadata=metadata)


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
        fields = {str(key): value for key, value in given.items()}
        is_block = fields.get("type") in ("document", "search_result")
        return {key: value for key, value in plain_part(fields).items() if key != "type"} if is_block else fields
    fields = named(given, ATTRIBUTES)
    return {**fields, "text": given.get_content()} if isinstance(given, _Node) else fields


def _found(fields: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """Under which name the text stands, and all fields; those of a vector store's record, where it stands in these."""
    key = next((key for key in TEXTS if parts_text(fields.get(key)) is not None), None)
    if key is not None:
        return key, fields
    for nested in INSIDE:
        inner = fields.get(nested)
        if isinstance(inner, Mapping) and any(isinstance(inner.get(key), str) for key in TEXTS):
            return _found({**{key: value for key, value in fields.items() if key != nested}, **inner})
    return None, fields


def _known(fields: Mapping[str, Any], text: str) -> tuple[str | None, dict[str, Any]]:
    """The title, and what else is known beside text and id; a title alone stays what it is, no metadata."""
    nested = next((key for key in METADATA if isinstance(fields.get(key), Mapping)), None)
    metadata = {} if nested is None else plain(fields[nested])
    taken = {text, nested, "title", *IDS, *VECTORS}
    further = plain({key: value for key, value in fields.items() if key not in taken and not _is_vector(value)})
    known = {**{key: value for key, value in further.items() if value is not None}, **metadata}
    title = plain(fields.get("title"))
    if title is None and isinstance(metadata.get("title"), str):
        title = metadata["title"]
    return title, {"title": title, **known} if known and title is not None else known


def _is_vector(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > VECTOR and all(isinstance(one, float) for one in value)
