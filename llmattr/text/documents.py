"""From what the user gives as context to documents."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from llmattr.core.plain_json import plain
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, check_text, note
from llmattr.text.forms import drawn, shown
from llmattr.text.readers import with_files_read
from llmattr.text.retrieved import document_of, several

Context = object  # what `read_documents` reads

MOST = 10_000  # documents that are taken from what does not say how many it has
NAME = 255  # characters of the longest name of a file


def read_documents(context: Context) -> tuple[Document, ...]:
    """The documents of a context: one text, or one or several documents in any of the shapes that retrievers return.

    A document is a text; a dict, a row of pandas or datasets, or an object with a text (`text`, `page_content`, `content`,
    `document`, `snippet`, `chunk` or `get_content()`, by itself or in `metadata`, `payload`, `properties` or `_source`) and, if
    wanted, `title`, `id` or `node_id`, and `metadata` or `meta`, or further keys of a dict; a pair (document, score); or a
    `NodeWithScore`. So LangChain's, LlamaIndex's and Haystack's are read as they are, and what Pinecone, Qdrant, Weaviate,
    Elasticsearch, OpenAI's file search and Anthropic's document blocks have. A `Path` stands for the documents of its file, or
    of all files of its folder (`read_files`); a text never does, and where a file is called so, a note says it. Several are any
    iterable of them, a data frame, Chroma's `{"documents": ..., "metadatas": ..., "ids": ...}` or a result with a list of them;
    what has no length, such as a generator, is read once and gives at most `MOST`.

    The title (that of the metadata, where the document has none) is shown to the model. All metadata comes back with every
    citation, in forms that JSON has: a date or a path as text. Raises `LlmattrError` for anything else.
    """
    texts = context if isinstance(context, (list, tuple)) else [context]
    if named := [text for text in texts if isinstance(text, str) and _is_name(text)]:
        note(f"{named[0]!r} is taken as text; there is a file of this name: give Path({named[0]!r}) to read it")
    context = with_files_read(context)
    if isinstance(context, str):
        documents = (Document(context, "context"),)
    elif isinstance(context, tuple) and all(isinstance(one, Document) for one in context):
        documents = context  # they were read before
    elif (one := document_of(context, 1)) is not None:
        documents = (one,)
    else:
        given = enumerate(drawn(several(context), "the context", "documents", MOST), 1)
        documents = tuple(document_of(one, number) or _refuse(one, number) for number, one in given)
    for number, document in enumerate(documents, 1):
        _check(document, number)
    refuse_empty(documents)
    return documents


def read_document(given: object, number: int) -> Document:
    """One document in any of these shapes, the `number`-th of them."""
    document = document_of(given, number) or _refuse(given, number)
    _check(document, number)
    return document


def refuse_empty(documents: Sequence[Document]) -> None:
    """Raise `LlmattrError` where no document has a text."""
    if not any(document.text.strip() for document in documents):
        raise LlmattrError("the context is empty: give documents with text")


def _is_name(text: str) -> bool:
    """Whether a file or folder is called so."""
    with suppress(OSError):
        return len(text) <= NAME and text.isprintable() and text.strip() != "" and Path(text).exists()
    return False


def _check(document: Document, number: int) -> None:
    check_text(document.text, f"document {number}")
    check_text(document.title or "", f"the title of document {number}")
    check_text(document.id, f"the id of document {number}")
    try:
        metadata = json.dumps(plain(document.metadata), ensure_ascii=False)
    except ValueError as error:  # a number of more digits than Python writes
        raise LlmattrError(f"the metadata of document {number} cannot be written as JSON ({error!s:.80})") from None
    check_text(metadata, f"the metadata of document {number}")


def _refuse(given: object, number: int) -> NoReturn:
    raise LlmattrError(
        f"document {number} must be a text, or a dict with 'text' (and 'title', 'id', 'metadata'), or what a retriever "
        f"returns; it is {shown(given, 80)}"
    )
