"""A chat in a file: the messages and tools of a request as JSON, or a message a line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmattr.errors import LlmattrError
from llmattr.text.forms import is_chat

TURNS = ("messages", "input", "conversations")  # of a request: chat completions and Anthropic, Responses, ShareGPT
SYSTEM = ("system", "instructions")  # what stands beside them


class Given(NamedTuple):
    """A chat, and the tools that the model may call."""

    messages: Sequence[Mapping[str, Any]] | None
    tools: Sequence[Mapping[str, Any]] = ()


def chat_of(text: str, name: str) -> Given:
    """The chat of a text: a list of messages, a request that has them, or a message a line; raises `LlmattrError` for others.

    >>> chat_of('{"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}', "chat.json").messages
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hi'}]
    """
    found = _parsed(text, name)
    request: Mapping[str, Any] = {}
    if isinstance(found, Mapping) and "role" not in found:
        request = found
        key = next((key for key in TURNS if found.get(key)), None)
        if key is None:
            raise LlmattrError(f"{name} is no chat: it has {', '.join(map(repr, found))[:80] or 'nothing'}, and no 'messages'")
        said = found[key]
        found = [{"role": "user", "content": said}] if isinstance(said, str) else said
        found = [*found, *(request.get("output") or [])] if is_chat(found) else found  # what Responses answered
    found = [found] if isinstance(found, Mapping) else found
    if not is_chat(found):
        raise LlmattrError(f"{name} is no chat: it must be a list of messages, not {found!r:.60}")
    system = [{"role": "system", "content": request[key]} for key in SYSTEM if request.get(key)]
    tools = request.get("tools")
    return Given([*system, *found], list(tools) if is_chat(tools) else ())


def _parsed(text: str, name: str) -> Any:
    """What JSON or JSON lines say."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise LlmattrError(f"{name} is empty: give a chat, as JSON or a message a line")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if len(lines) == 1 or not _is_json(lines[0][1]):
            raise LlmattrError(f"{name} is no JSON: {error}") from None
    rows = []
    for number, line in lines:
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise LlmattrError(f"line {number} of {name} is no JSON: {error}") from None
    if several := [number for number, row in zip(dict(lines), rows, strict=True) if _is_whole(row)]:
        raise LlmattrError(f"{name} has a chat a line (lines {several[0]} ...): give one chat, a message a line")
    return rows


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_whole(row: object) -> bool:
    return isinstance(row, list) or (isinstance(row, Mapping) and any(row.get(key) for key in TURNS))
