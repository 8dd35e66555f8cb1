"""What actions found, where a chat has it in the user's name, as ReAct does: "Observation: ..." behind the assistant's turn."""

import re
from collections.abc import Sequence
from itertools import takewhile

from llmattr.text.message import Message

_FOUND = re.compile(
    r"[\s*_#>]*(?:observations?|(?:tool|function|action|search)[ _-](?:results?|outputs?|responses?))[ ]?\d*[*_ ]*:"
    r"|\s*[<\[](?:observation|(?:tool|function)_(?:result|output|response))s?\b",
    re.IGNORECASE,
)
_ACTION = re.compile(r"^\W*action\s?\d*\W*?:\W*([\w.-]+)", re.IGNORECASE | re.MULTILINE)


def observations(chat: Sequence[Message]) -> dict[int, str]:
    """The user's turns that ask nothing, each with what the assistant had called before it; several calls in their order.

    >>> looked = Message("assistant", ("Thought: I look.\\nAction: search[tower]",))
    >>> observations([Message("user", ("How tall?",)), looked, Message("user", ("Observation: 330 metres.",))])
    {2: 'search'}
    """
    found: dict[int, str] = {}
    for i, message in enumerate(chat):
        if message.role == "assistant":
            behind = list(takewhile(lambda place: _is_found(chat[place]), range(i + 1, len(chat))))
            called = _ACTION.findall(message.text)[-max(1, len(behind)) :] or ["a tool"]
            found |= dict(zip(behind, called + called[-1:] * len(behind), strict=False))
    return found


def _is_found(message: Message) -> bool:
    return message.role == "user" and _FOUND.match(message.text) is not None
