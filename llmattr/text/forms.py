"""Chats and rows in the forms that people have them in (OpenAI's, Anthropic's, ShareGPT's, TRL's), made OpenAI's.

A message is `{"role", "content"}`, with `tool_calls` where the assistant calls tools, and `reasoning_content` where it thinks
aloud; what a tool returned is a message of the role `tool`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

Message = dict[str, Any]

SHARE_GPT = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
SHARE_GPT |= {"observation": "tool", "function_response": "tool", "tool_response": "tool", "function_call": "assistant"}
CHATS = ("messages", "prompt", "completion")  # the columns that may hold a chat


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


def plain_chat(chat: Iterable[Mapping[str, Any]]) -> list[Message]:
    """OpenAI's messages: Anthropic's blocks of calls, results and thoughts go where OpenAI has them, other parts stay."""
    return [message for given in chat for message in _plain_message(given)]


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
        kinds.setdefault(block.get("type") if isinstance(block, Mapping) else None, []).append(block)
    apart = ("tool_use", "tool_result", "thinking", "redacted_thinking")
    rest = [_plain_part(block) for block in blocks if not isinstance(block, Mapping) or block.get("type") not in apart]
    if len(rest) == len(blocks):
        return [{**message, "content": rest}]
    message["content"] = rest or None
    if "thinking" in kinds:
        message["reasoning_content"] = "".join(block.get("thinking", "") for block in kinds["thinking"])
    if "tool_use" in kinds:
        message["tool_calls"] = [_plain_call(block) for block in kinds["tool_use"]]
    results = [_plain_result(block) for block in kinds.get("tool_result", ())]
    return [*results, *([message] if rest or len(results) < len(blocks) else [])]


OF_THE_REQUEST = ("source", "citations", "cache_control")  # of a document's block: nothing that is known of the document


def _plain_part(block: object) -> object:
    if not isinstance(block, Mapping) or block.get("type") != "document":
        return block
    source = block.get("source")
    if isinstance(source, Mapping) and isinstance(source.get("data"), str) and source.get("type") == "text":
        return {**{key: block[key] for key in block if key not in OF_THE_REQUEST}, "text": source["data"]}
    return block


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
    message = {"role": SHARE_GPT.get(said, said), "content": value}
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
