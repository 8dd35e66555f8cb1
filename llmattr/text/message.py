"""One turn of a chat, and a chat read from the forms that people have it in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, check_text
from llmattr.text.documents import read_document
from llmattr.text.forms import calls, is_chat, plain_chat, turn_text

Parts = tuple[str | tuple[Document, ...], ...]
THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # the keys under which templates look for a turn's reasoning


@dataclass(frozen=True)
class Message:
    """One turn. A part is fixed text, or the documents that stand at that place; `other` are the chat's further keys.

    `thoughts` are the parts of the reasoning that stands apart from what the turn says.
    """

    role: str
    parts: Parts
    other: Mapping[str, Any] = field(default_factory=dict)
    thoughts: Parts = ()

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents of all its parts, in order."""
        return tuple(one for part in (*self.thoughts, *self.parts) if not isinstance(part, str) for one in part)

    @property
    def said(self) -> list[str]:
        """Everything in it that can be read: fixed text, and the documents with their titles."""
        fixed = [part for part in (*self.thoughts, *self.parts) if isinstance(part, str)]
        return fixed + [text for document in self.documents for text in (document.title, document.text) if text]

    @property
    def text(self) -> str:
        """Its fixed text."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def result_of(self) -> str | None:
        """The call of which it is the result, where it says so."""
        return self.other.get("tool_call_id") if self.role == "tool" else None


def read_chat(messages: object) -> tuple[Message, ...]:
    """The turns of a chat of OpenAI's (chat completions or Responses), Anthropic's or ShareGPT's form.

    Raises `LlmattrError` for what is no turn, and for turns that cannot follow one another.
    """
    if not isinstance(messages, (list, tuple)) or not messages:
        raise LlmattrError(f"messages must be a list with at least the user's turn, not {messages!r:.60}")
    plain = plain_chat(messages) if is_chat(messages) else messages
    chat = tuple(_read(message, number) for number, message in enumerate(plain, 1))
    if not chat:
        raise LlmattrError("messages has nothing that was said: give at least the user's turn")
    _check_order(chat)
    return chat


def take_answer(
    messages: Sequence[Mapping[str, Any]], query: str | None = None
) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """The messages before the assistant's last turn, and its reasoning (in `<think>`) with what it said or called there.

    All of them and None where it did not speak last, or a further query follows. Raises `LlmattrError` where nobody else spoke.
    """
    chat = read_chat(messages)
    last, follows = chat[-1], query is not None and not any("{query}" in message.text for message in chat)
    if last.role != "assistant" or follows:
        return messages, None
    thoughts = "".join(part for part in last.thoughts if isinstance(part, str))
    said = turn_text({**last.other, "content": last.text})
    if all(message.role == "assistant" for message in chat):
        raise LlmattrError("messages has only what the assistant said: put in what it was asked, or give a query")
    return plain_chat(messages)[:-1], (f"<think>\n{thoughts}\n</think>\n\n" if thoughts else "") + said


def called(chat: Sequence[Message]) -> dict[str, str]:
    """The names of what was called, by the ids of the calls."""
    return {name: str(call.get("name")) for message in chat for name, call in _calls(message)}


def _calls(message: Message) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for given, call in zip(message.other.get("tool_calls") or (), calls(message.other), strict=True):
        if given.get("id") is not None:
            yield given["id"], call


def _check_order(chat: Sequence[Message]) -> None:
    """Raise `LlmattrError` where turns cannot follow one another, whatever the model."""
    known: set[str] = set()
    for number, message in enumerate(chat, 1):
        before = chat[number - 2] if number > 1 else None
        if before and before.role == message.role == "assistant" and not before.other.get("tool_calls"):
            raise LlmattrError(
                f"messages {number - 1} and {number} are both the assistant's, and nothing stands between them: join "
                "them, or put in what the user or a tool said"
            )
        if message.result_of is not None and message.result_of not in known:
            raise LlmattrError(
                f"message {number} is the result of a call {message.result_of!r}, which no message before it makes: put "
                "in the assistant's turn with this call"
            )
        known |= {name for name, _ in _calls(message)}


def _read(given: object, number: int) -> Message:
    calling = isinstance(given, Mapping) and given.get("tool_calls") and given.get("content") is None
    given = {**given, "content": given.get("refusal") or ""} if isinstance(given, Mapping) and _is_silent(given) else given
    said = calling or (isinstance(given, Mapping) and isinstance(given.get("content"), (str, list, tuple)))
    if not isinstance(given, Mapping) or "role" not in given or not said:
        raise LlmattrError(f"message {number} must be a dict with 'role' and 'content'; it is {given!r:.80}")
    check_text(given["role"], f"the role of message {number}")
    if calling and not is_chat(given["tool_calls"]):
        raise LlmattrError(f"the tool_calls of message {number} must be a list of dicts, not {given['tool_calls']!r:.60}")
    content = [given["content"]] if isinstance(given.get("content"), str) else given.get("content") or ()
    parts = tuple(_read_part(part, number) for part in content)
    thoughts = next((given[key] for key in THOUGHTS if isinstance(given.get(key), str) and given[key].strip()), None)
    apart = ("role", "content", "refusal", *(THOUGHTS if thoughts else ()))
    other = {key: given[key] for key in given if key not in apart}
    return Message(given["role"], parts, other, (check_text(thoughts, f"message {number}"),) if thoughts else ())


def _is_silent(given: Mapping[str, Any]) -> bool:
    """Whether it is a turn whose content is none: one of the assistant or a tool that says nothing, or that refuses."""
    says = given.get("refusal") is not None or ("content" in given and given.get("role") in ("assistant", "tool"))
    return says and given.get("content") is None and not given.get("tool_calls")


def _read_part(part: object, number: int) -> str | tuple[Document]:
    if isinstance(part, Mapping) and part.get("type") == "refusal":
        part = part.get("refusal")
    if isinstance(part, str):
        return check_text(part, f"message {number}")
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        check_text(part["text"], f"message {number}")
        if part.get("type") != "document":
            return part["text"]
        return (read_document({key: value for key, value in part.items() if key != "type"}, number),)
    raise LlmattrError(f"message {number} has a part that is neither text nor a document with 'text': {part!r:.80}")
