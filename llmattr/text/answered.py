"""A chat as a check takes it: the answer that ends it, what that could cite, and what was asked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.documents import Context, read_documents
from llmattr.text.message import Message, read_chat, take_answer
from llmattr.text.messages import with_evidence
from llmattr.text.split.reasoning import said_in
from llmattr.text.steps import asking

CITATIONS = ("citations", "annotations")  # where vendors have them, in a turn or in its parts


class Answered(NamedTuple):
    """The answer (a text, or a turn with a vendor's citations), the chat before it, its documents by number, the question."""

    answer: object
    chat: tuple[Message, ...]
    documents: tuple[Document, ...]
    query: str


def answered(messages: Sequence[Mapping[str, Any]], answer: object = None, context: Context | None = None) -> Answered:
    """The answer is the assistant's last turn, without its reasoning, or the one that is given, which stands in its place.

    Its documents are the parts that are marked as such; else those of the context, which stand in the chat; else what tools
    returned. Raises `LlmattrError` where there is no answer, or nothing that it could cite.
    """
    before, last = read_chat(take_answer(messages)[0]), read_chat(messages)[-1]
    answer = _said(messages[-1], last) if answer is None else answer
    given = None if context is None else read_documents(context)
    chat = with_evidence(before, given)
    placed = tuple(document for message in chat for document in message.documents)
    if given is not None and [one.text for one in placed] != [one.text for one in given]:
        raise LlmattrError("the documents must stand in the messages in the order of their numbers, and none be empty")
    turn = asking(before)
    query = "" if turn is None else before[turn].text
    return Answered(answer, chat, placed if given is None else given, query)


def _said(given: Mapping[str, Any], last: Message) -> object:
    """What the last turn says: itself where it has citations of a vendor's, else its text without what was thought."""
    if last.role != "assistant":
        raise LlmattrError(
            f"there is no answer: the last of the messages is of the role {last.role!r}; give the answer beside them"
        )
    text = "\n\n".join(last.text[start:end] for start, end in said_in(last.text))
    if not text:
        raise LlmattrError(
            "the assistant's last turn says nothing: it only thinks or calls tools, so there is nothing to check"
        )
    content = given.get("content")
    parts = content if isinstance(content, (list, tuple)) else ()
    cites = any(one.get(name) for one in (given, *parts) if isinstance(one, Mapping) for name in CITATIONS)
    return given if cites else text
