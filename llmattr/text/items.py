"""The items of OpenAI's Responses (reasoning, calls, what they returned), as the turns of a chat."""

from collections.abc import Iterable, Mapping
from typing import Any

Item = Mapping[str, Any]
ITEMS = ("message", "reasoning", "function_call", "function_call_output")


def plain_items(chat: Iterable[Item]) -> list[Item]:
    """Turns in the place of items; turns stay as they are.

    What the assistant thinks, says and calls without anything between is one turn. Items without a text (a reasoning that is
    encrypted, a search that the service made by itself) are left out.

    >>> call = {"type": "function_call", "call_id": "1", "name": "now", "arguments": "{}"}
    >>> made, got = plain_items([call, {"type": "function_call_output", "call_id": "1", "output": "Noon."}])
    >>> made["tool_calls"][0]["function"]["name"], got["content"]
    ('now', 'Noon.')
    """
    turns: list[Item] = []
    joins = False  # whether the last turn is the assistant's and was made of items
    for given in chat:
        is_item = given.get("type") in ITEMS
        turn = _turn(given) if is_item else given
        if turn is None or ("role" not in turn and str(turn.get("type")).endswith("_call")):
            continue
        is_own = is_item and turn.get("role") == "assistant"
        turns = [*turns[:-1], _joined(turns[-1], turn)] if joins and is_own else [*turns, turn]
        joins = is_own
    return turns


def _turn(item: Item) -> Item | None:
    """The turn that an item is, or a part of it; None for one that says nothing."""
    if item["type"] == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output") or ""}
    if item["type"] == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if item["type"] == "reasoning":
        text = _texts(item.get("content")) or _texts(item.get("summary"))
        return {"role": "assistant", "content": "", "reasoning_content": text} if text else None
    return {key: item[key] for key in ("role", "content") if key in item}


def _joined(turn: Item, more: Item) -> Item:
    """One turn of two parts."""
    thoughts = [one["reasoning_content"] for one in (turn, more) if "reasoning_content" in one]
    called = [*turn.get("tool_calls", ()), *more.get("tool_calls", ())]
    said = [one["content"] for one in (turn, more) if one["content"]]
    content = said[0] if len(said) == 1 else [part for one in said for part in ([one] if isinstance(one, str) else one)]
    return {
        "role": "assistant",
        "content": content or "",
        **({"reasoning_content": "\n\n".join(thoughts)} if thoughts else {}),
        **({"tool_calls": called} if called else {}),
    }


def _texts(parts: object) -> str:
    """The texts of a reasoning's parts."""
    if isinstance(parts, str):
        return parts
    given = parts if isinstance(parts, (list, tuple)) else ()
    return "\n\n".join(str(part["text"]) for part in given if isinstance(part, Mapping) and part.get("text"))
