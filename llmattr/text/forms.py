"""Chats and rows in the forms that people have them in (OpenAI's, Anthropic's, ShareGPT's, TRL's), made OpenAI's.

A message is `{"role", "content"}`, with `tool_calls` where the assistant calls tools, and `reasoning_content` where it thinks
aloud; what a tool returned is a message of the role `tool`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol, TypeGuard, runtime_checkable

from llmattr.errors import LlmattrError
from llmattr.text.items import plain_items

Message = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython")  # of who speaks, as templates know them
SHARE_GPT = {name: name for name in ("system", "developer", "user", "assistant", "tool")} | {"human": "user"}
SHARE_GPT |= dict.fromkeys(("gpt", "chatgpt", "bot", "model", "bard", "bing", "claude", "function_call"), "assistant")
SHARE_GPT |= dict.fromkeys(("observation", "function_response", "tool_response"), "tool")
CHATS = ("messages", "prompt", "completion")  # the columns that may hold a chat


@runtime_checkable
class Frame(Protocol):
    """A pandas `DataFrame`."""

    def astype(self, dtype: object) -> Any:
        """Its cells in another type."""

    def notna(self) -> Any:
        """Which cells are not empty."""

    def iterrows(self) -> Any:
        """Its rows with their labels."""


@runtime_checkable
class _Said(Protocol):
    """A part of a text, such as OpenAI's library has."""

    text: str


def shown(value: object, most: int = 60) -> str:
    """The beginning of what a value says of itself, in one line; what it is, where its own code fails at that."""
    try:
        said = repr(value)
    except Exception:  # what someone else's code raises
        said = f"a {type(value).__name__}"
    return " ".join(said.split())[:most]


def rows_of_frame(frame: Frame) -> list[dict[str, Any]]:
    """Its rows, with None where a cell is empty."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def drawn(given: Iterable[Any], called: str, what: str, most: int) -> Iterator[Any]:
    """What it gives, one by one; raises `LlmattrError` where it breaks off, or gives more than it says it has, or `most`."""
    number = 0
    try:
        most = len(given) if isinstance(given, Sized) else most
        for number, one in enumerate(given, 1):
            if number > most:
                raise LlmattrError(f"{called} has given {most:,} {what} and goes on: give fewer of them, or a list")
            yield one
    except LlmattrError:
        raise
    except Exception as error:  # what someone else's code raises
        reason = f"{type(error).__name__}: {error!s:.80}"
        raise LlmattrError(f"{called} broke off behind {number:,} {what} ({' '.join(reason.split())})") from error


def plain_row(given: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its chats as lists of OpenAI's messages; a row without a chat is as it was.

    `conversations` (ShareGPT) become `messages`, `system` beside `messages` its first turn, and `tools` OpenAI's.

    >>> plain_row({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]})["messages"]
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]
    """
    row = dict(given)
    if row.get("messages") is None and is_chat(chat := _parsed(row.get("conversations"))):
        row["messages"] = chat
        del row["conversations"]
    row |= {"messages": _parsed(row["messages"])} if isinstance(row.get("messages"), str) else {}
    chats = [key for key in CHATS if is_chat(row.get(key))]
    for key in chats:
        row[key] = [_joined(message) for message in plain_chat(row[key])]
    if "prompt" in chats and isinstance(row.get("completion"), str):
        row["completion"] = [{"role": "assistant", "content": row["completion"]}]
    first = next((key for key in ("messages", "prompt") if key in chats), None)
    if first and isinstance(row.get("system"), (str, list)):
        system = _joined({"role": "system", "content": row.pop("system")})
        row[first] = [system, *row[first]] if system["content"] and row[first][0].get("role") != "system" else row[first]
    if chats and row.get("tools"):
        row["tools"] = plain_tools(row["tools"])
    return row


def is_chat(value: object) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    """Whether it is a list of dicts."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(one, Mapping) for one in value)


def is_turn(given: Mapping[str, Any]) -> bool:
    """Whether it is a message in one of the forms that are read."""
    return "role" in given or ("from" in given and "value" in given)


def plain_chat(chat: Iterable[Mapping[str, Any]]) -> list[Message]:
    """OpenAI's messages: Anthropic's blocks and Responses' items go where chat completions have them, other parts stay."""
    return [message for given in plain_items(chat) for message in _plain_message(given)]


OF_THE_REQUEST = ("citations", "cache_control")  # in a block of a document: nothing that is known of it


def named(given: object, names: Iterable[str]) -> dict[str, Any]:
    """What someone else's object, or a dict, has under these names; None where it has not."""
    return {name: given.get(name) if isinstance(given, Mapping) else getattr(given, name, None) for name in names}


def plain_part(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a message, of which Anthropic's documents and search results have their text under `text`; others stay.

    >>> plain_part({"type": "search_result", "source": "https://a.org", "content": [{"type": "text", "text": "It is."}]})
    {'type': 'document', 'source': 'https://a.org', 'text': 'It is.'}
    """
    kind, source = block.get("type"), block.get("source")
    if kind == "search_result":
        place, text = "content", block.get("content")
    elif kind == "document" and isinstance(source, Mapping):
        place, text = "source", source.get("data") if source.get("type") == "text" else source.get("content")
    else:
        return block
    text = parts_text(text)
    if text is None:
        return block
    known = {key: block[key] for key in block if key not in (place, *OF_THE_REQUEST)}
    return {**known, "type": "document", "text": text}


def parts_text(value: object) -> str | None:
    """A text, or the texts of parts as chats and searches have them; None for what is neither."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, (list, tuple)) else [value]
    texts = [
        part.get("text") if isinstance(part, Mapping) else part.text if isinstance(part, _Said) else None for part in parts
    ]
    said = [text for text in texts if isinstance(text, str)]
    return "\n\n".join(said) if said and len(said) == len(texts) else None


def plain_tools(tools: object) -> Any:
    """OpenAI's tools, of Anthropic's (`input_schema`) or of either as JSON text; what is neither stays as it is."""
    tools = _parsed(tools)
    return [_plain_tool(tool) if isinstance(tool, Mapping) else tool for tool in tools] if isinstance(tools, list) else tools


def turn_text(message: Mapping[str, Any]) -> str:
    """What a turn says, and the calls that it makes.

    >>> turn_text({"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "now", "arguments": "{}"}}]})
    'now({})'
    """
    content = message.get("content")
    parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content or () if is_text(part)]
    said = [f"{call.get('name')}({_as_text(call.get('arguments') or {})})" for call in calls(message)]
    return "\n".join(filter(None, ["".join(parts), *said]))


def chat_text(chat: Iterable[Mapping[str, Any]]) -> str:
    """A chat turn by turn."""
    return "\n".join(f"{message['role']}: {turn_text(message)}" for message in chat)


def calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The name and arguments of each call that a turn makes."""
    return [function_of(call) for call in message.get("tool_calls") or ()]


def function_of(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and arguments of a call, which may stand in a `function` of their own."""
    return call["function"] if isinstance(call.get("function"), Mapping) else call


def is_text(part: object) -> bool:
    """Whether a part of a message is text."""
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def _plain_message(given: Mapping[str, Any]) -> list[Message]:
    message = _share_gpt(given) if "from" in given and "value" in given else dict(given)
    blocks = message.get("content")
    if not isinstance(blocks, (list, tuple)):
        return [message]
    kinds: dict[Any, list[Any]] = {}
    for block in blocks:
        kinds.setdefault(str(block.get("type")) if isinstance(block, Mapping) else None, []).append(block)
    apart = ("tool_use", "tool_result", "thinking", "redacted_thinking")
    rest = [
        plain_part(block) if isinstance(block, Mapping) else block
        for block in blocks
        if not isinstance(block, Mapping) or block.get("type") not in apart
    ]
    if len(rest) == len(blocks):
        return [{**message, "content": rest}]
    message["content"] = rest or None
    if "thinking" in kinds:
        message["reasoning_content"] = "".join(str(block.get("thinking", "")) for block in kinds["thinking"])
    if "tool_use" in kinds:
        message["tool_calls"] = [_plain_call(block) for block in kinds["tool_use"]]
    results = [_plain_result(block) for block in kinds.get("tool_result", ())]
    return [*results, *([message] if rest or len(results) < len(blocks) else [])]


def _plain_call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": block.get("input") or {}}
    return {**({"id": block["id"]} if "id" in block else {}), "type": "function", "function": function}


def _plain_result(block: Mapping[str, Any]) -> Message:
    of = {"tool_call_id": block["tool_use_id"]} if "tool_use_id" in block else {}
    return _joined({"role": "tool", "content": block.get("content") or "", **of})


def _plain_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if "input_schema" not in tool:
        return tool
    function = {key: tool[key] for key in ("name", "description") if key in tool}
    return {"type": "function", "function": {**function, "parameters": tool["input_schema"]}}


def _share_gpt(given: Mapping[str, Any]) -> Message:
    said, value = given["from"], given["value"]
    if said not in SHARE_GPT:
        return dict(given)  # whose turn that is is not guessed
    message = {"role": SHARE_GPT[said], "content": value}
    call = _parsed(value) if said == "function_call" else None
    made = [call] if isinstance(call, Mapping) else call
    if is_chat(made):  # a list of dicts
        return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": one} for one in made]}
    return message


def _joined(message: Mapping[str, Any]) -> Message:
    """Parts that are all text as one text."""
    content = message.get("content")
    if not isinstance(content, (list, tuple)) or not all(isinstance(part, str) or is_text(part) for part in content):
        return dict(message)
    return {**message, "content": "".join(part if isinstance(part, str) else part["text"] for part in content)}


def _parsed(value: object) -> Any:
    """What JSON text says; what is none stays as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _as_text(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
