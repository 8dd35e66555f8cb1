"""From what the user gives (a text, documents, a chat) to messages in which the documents' places are marked."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, check_text, note
from llmattr.text.documents import Context, read_documents, refuse_empty
from llmattr.text.message import Message, read_chat
from llmattr.text.steps import SYSTEM, results_of, steps_of

TEMPLATE = "Context: {context}\n\nQuery: {query}"  # ContextCite's
MARKED = "the documents are marked in the messages already: give no context beside them"
PLAIN_TEMPLATE = TEMPLATE + "\n\nAnswer:\n"  # for models without a chat template


def conversation(
    context: Context | None,
    query: str | None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    template: str = TEMPLATE,
    step: int | None = None,
) -> tuple[Message, ...]:
    """The messages to send, with the documents marked.

    Without `messages`: one user turn made from the template. With them, the documents are, in this order: parts
    `{"type": "document", "text": ...}` of a message; the context at `{context}` in a message, or where its own text stands in
    one, or, with a query, in a last turn made from the template; without a context the steps of the chat (`steps_of`): every
    turn but the system's and the user's last, with what tools returned and what was thought (or that one, when it is alone);
    with `step` that one alone.
    The query stands at `{query}` or becomes the last user turn.
    """
    if query is not None and not check_text(query, "the query").strip():
        raise LlmattrError("the query is empty: what should the model answer?")
    if messages is not None:
        return _place_query(_place_documents(read_chat(messages), context, query, template, step=step), query)
    if step is not None:
        raise LlmattrError(f"step {step} is one of a chat: give messages")
    if context is None or (query is None and "{query}" in template):
        raise LlmattrError(f"{'context' if context is None else 'query'} is missing: give context and query, or messages")
    check_text(template, "the template")
    if query is not None and "{query}" not in template:
        raise LlmattrError(f"the template {template!r} has no {{query}}")
    return _place_query(_in_template((), read_documents(context), template), query)


def with_evidence(chat: tuple[Message, ...], documents: tuple[Document, ...] | None) -> tuple[Message, ...]:
    """The chat with what an answer to it could cite marked as documents.

    They are the parts that are marked already; else these documents, at `{context}` or where they stand; else what tools
    returned (`results_of`). Raises `LlmattrError` where there is none of these.
    """
    is_marked = any(message.documents for message in chat)
    if is_marked and documents is not None:
        raise LlmattrError(MARKED)
    if documents is not None:
        placed = _where_told(chat, documents)
        if placed is None:
            raise LlmattrError(
                "the documents do not stand in the messages: leave the messages out, and give the answer beside them"
            )
        return placed
    made = chat if is_marked else results_of(chat)
    if not any(document.text.strip() for message in made for document in message.documents):
        raise LlmattrError("the chat has no documents, and no tool returned a text in it: give the documents that it had")
    return made


def _place_documents(
    chat: tuple[Message, ...], context: Context | None, query: str | None, template: str, *, step: int | None
) -> tuple[Message, ...]:
    """The documents in a chat that was given; `conversation` says where."""
    marked = [document for message in chat for document in message.documents]
    if step is not None and (marked or context is not None):
        raise LlmattrError(f"step {step} is asked for, but the chat's steps are no sources: it has documents of its own")
    if marked and context is not None:
        raise LlmattrError(MARKED)
    if context is not None:
        documents = read_documents(context)
        placed = _where_told(chat, documents)
        if placed is None and query is None:
            raise LlmattrError(
                "the documents do not stand in the messages: put {context} there, or give a query to ask about them"
            )
        return placed or _in_template(chat, documents, template)
    asking = tuple(message for message in chat if message.role in (*SYSTEM, "user"))  # what others say may be of a template
    if not marked and _count(asking, "{context}"):
        raise LlmattrError("a message has {context} in it, but there is no context to put there")
    placed = chat if marked else steps_of(chat, step)
    refuse_empty([document for message in placed for document in message.documents])
    return placed


def _where_told(chat: tuple[Message, ...], documents: tuple[Document, ...]) -> tuple[Message, ...] | None:
    """The documents at `{context}`, or where their own texts stand; None where that is nowhere."""
    return _place_once(chat, "{context}", documents) or _place_where_they_stand(chat, documents)


def _in_template(chat: tuple[Message, ...], documents: tuple[Document, ...], template: str) -> tuple[Message, ...]:
    """The documents in a last turn made from the template."""
    placed = _place_once((*chat, Message("user", (template,))), "{context}", documents)
    if placed is None:
        raise LlmattrError(f"the template {template!r} has no {{context}} where the documents should stand")
    return placed


def _place(chat: tuple[Message, ...], mark: str, what: str | tuple[Document, ...]) -> tuple[Message, ...] | None:
    """Put `what` where `mark` stands in the chat's text, the first time; None when it stands nowhere."""
    for i, message in enumerate(chat):
        for j, part in enumerate(message.parts):
            if isinstance(part, str) and mark in part:
                before, after = part.split(mark, 1)
                parts = (*message.parts[:j], before, what, after, *message.parts[j + 1 :])
                return (*chat[:i], dataclasses.replace(message, parts=parts), *chat[i + 1 :])
    return None


def _place_once(chat: tuple[Message, ...], mark: str, what: str | tuple[Document, ...]) -> tuple[Message, ...] | None:
    """The same, refused where the mark stands twice: what is in the prompt twice cannot be removed by taking one away."""
    times = _count(chat, mark)
    if times > 1:
        raise LlmattrError(f"{mark} stands {times} times in the template or the messages: put it there once")
    return _place(chat, mark, what)


def _count(chat: tuple[Message, ...], text: str) -> int:
    return sum(part.count(text) for message in chat for part in message.parts if isinstance(part, str))


def _place_where_they_stand(chat: tuple[Message, ...], documents: tuple[Document, ...]) -> tuple[Message, ...] | None:
    """Put each document where its own text stands; None when none of them stands anywhere."""
    missing = []
    for document in documents:
        placed = _place(chat, document.text, (dataclasses.replace(document, title=None),)) if document.text.strip() else chat
        missing += [] if placed else [document.id]
        chat = placed or chat
    if len(missing) == len(documents):
        return None
    copied = [document.id for document in documents if document.text.strip() and _count(chat, document.text)]
    if copied:
        note(
            f"the text of {len(copied)} documents stands in the messages once more, the first is {copied[0]!r}: the copy stays "
            "when the document is removed"
        )
    if missing:
        raise LlmattrError(f"document {missing[0]!r} does not stand in the messages as the others do: put {{context}} there")
    return chat


def _place_query(chat: tuple[Message, ...], query: str | None) -> tuple[Message, ...]:
    if query is None:
        return chat
    return _place_once(chat, "{query}", query) or (*chat, Message("user", (query,)))
