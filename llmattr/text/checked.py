"""Of which kind a row is, and whether it holds what rows of that kind hold."""

from collections.abc import Callable, Mapping
from types import MappingProxyType, NoneType
from typing import Any

from llmattr.errors import LlmattrError, check_text
from llmattr.text.forms import CHATS, ROLES, SHARE_GPT, function_of, is_chat

COLUMNS = (("messages",), ("prompt", "completion"), ("text",))
OFTEN = MappingProxyType(  # what else these columns are called
    {
        "messages": "conversation conversations chat dialog dialogue",
        "prompt": "question instruction query input source",
        "completion": "answer response output target",
        "text": "content body document sentence",
    }
)


def kind_of_row(row: Mapping[str, Any], name: str = "") -> str:
    """The first of the columns that say something: one reader gives all rows of a file the same columns, some of them empty."""
    if (kind := _kind(row)) is None:
        wanted = " or ".join(" + ".join(columns) for columns in COLUMNS)
        raise LlmattrError(f"{name}the data has the columns {', '.join(row)}; it needs {wanted}: {_advice(row)}")
    return kind


def check_row(row: Mapping[str, Any], name: str) -> None:
    """Raise `LlmattrError` for a row that is of a kind but has something else where its text or messages should stand."""
    kind = _kind(row)
    tools = row.get("tools")
    if tools and any(is_chat(row.get(column)) for column in CHATS) and not _are(_is_tool, tools):
        raise LlmattrError(f"{name} has no list of tools in 'tools': {tools!r:.60}")
    for column in next((columns for columns in COLUMNS if columns[0] == kind), ()):
        value = row[column]
        if value is None:  # what has no use for the row does not mind
            continue
        if column == "messages" or (kind == "prompt" and is_chat(value)):
            check_chat(value, column, name)
        elif not isinstance(value, str):
            raise LlmattrError(f"{name} has no text in {column!r}: {value!r:.60}")
        else:
            check_text(value, f"{column!r} of {name}")


def check_chat(chat: object, column: str, name: str) -> None:
    """Raise `LlmattrError` where this column of a row has no messages in the form of OpenAI."""
    for place, turn in enumerate(chat, 1) if is_chat(chat) else ():
        speaker = None if "role" in turn else turn.get("from")
        if speaker is not None and str(speaker) not in SHARE_GPT:
            raise LlmattrError(f"{name}: {column!r} has a turn from {speaker!r}, which is none of {', '.join(SHARE_GPT)}")
        if speaker is not None and "value" not in turn:
            raise LlmattrError(f"{name}: turn {place} of {column!r}, from {speaker!r}, has no 'value'")
    if not is_chat(chat) or not all(_is_message(message) for message in chat):
        raise LlmattrError(f"{name} has no list of messages with 'role' and 'content' in {column!r}: {chat!r:.60}")
    for place, message in enumerate(chat, 1):
        if message["role"] not in ROLES:
            known = ", ".join(ROLES)
            raise LlmattrError(f"message {place} of {name} has the role {message['role']!r}, which is none of {known}")
        _check_message(message, f"message {place} of {name}")


def _is_message(message: Mapping[str, Any]) -> bool:
    said = isinstance(message.get("content"), (str, list, tuple)) or message.get("tool_calls")
    return isinstance(message.get("role"), str) and bool(said)


def _check_message(message: Mapping[str, Any], name: str) -> None:
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, str):
        check_text(content, name)
    elif content is not None and not _are(_is_part, content):
        raise LlmattrError(f"{name} has a content that is no text and no list of parts: {content!r:.60}")
    if calls and not _are(_is_call, calls):
        raise LlmattrError(f"{name} has no list of calls, each with a name and arguments, in 'tool_calls': {calls!r:.60}")


def _are(kind: Callable[[Any], bool], value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(kind, value))


def _is_part(part: Any) -> bool:
    is_none = isinstance(part, Mapping) and part.get("type") == "text" and not isinstance(part.get("text"), str)
    return isinstance(part, (str, Mapping)) and not is_none


def _is_call(call: Any) -> bool:
    if not isinstance(call, Mapping):
        return False
    function = function_of(call)
    return isinstance(function.get("name"), str) and isinstance(function.get("arguments"), (str, Mapping, NoneType))


def _is_tool(tool: Any) -> bool:
    return isinstance(tool, Mapping) or callable(tool)


def _kind(row: Mapping[str, Any]) -> str | None:
    there = [columns for columns in COLUMNS if all(column in row for column in columns)]
    given = [columns for columns in there if all(row[column] is not None for column in columns)]
    said = [columns for columns in given if row[columns[-1]] not in ("", [])]
    return next((columns[0] for columns in (*said, *given, *there)), None)


def _advice(row: Mapping[str, Any]) -> str:
    """What to write where columns have other names: those that are there in other letters, or that others call so."""
    names = {name.strip().lower(): name for name in row}
    called = {column: next((names[one] for one in (column, *OFTEN[column].split()) if one in names), None) for column in OFTEN}
    like = next((columns for columns in COLUMNS if all(called[column] for column in columns)), None)
    made = ",".join(f"{column}={called[column] if like else 'NAME'}" for column in like or COLUMNS[1])
    return f"say which they are (--columns {made})"
