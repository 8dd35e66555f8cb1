"""What actions found, where a chat has it in the user's name, as ReAct does: "Observation: ..." behind the assistant's turn."""

import re
from collections.abc import Sequence
from itertools import pairwise

from llmattr.text.message import Message

_FOUND = re.compile(
    r"[\s*_#>]*(?:observations?|(?:tool|function|action|search)[ _-](?:results?|outputs?|responses?))[ ]?\d*[*_ ]*:"
    r"|\s*[<\[](?:observation|(?:tool|function)_(?:result|output|response))s?\b",
    re.IGNORECASE,
)
_ACTION = re.compile(r"^\W*action\s?\d*\W*?:\W*([\w.-]+)", re.IGNORECASE | re.MULTILINE)


def observations(chat: Sequence[Message]) -> dict[int, str]:
    """The user's turns that ask nothing, each with what the assistant had called before it.

    >>> looked = Message("assistant", ("Thought: I look.\\nAction: search[tower]",))
    >>> observations([Message("user", ("How tall?",)), looked, Message("user", ("Observation: 330 metres.",))])
    {2: 'search'}
    """
    found: dict[int, str] = {}
    for i, (before, message) in enumerate(pairwise(chat), 1):
        if message.role == "user" and before.role == "assistant" and _FOUND.match(message.text):
            actions = _ACTION.findall(before.text)
            found[i] = actions[-1] if actions else "a tool"
    return found
