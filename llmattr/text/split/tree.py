"""JSON that is one value: a record of a list is a source, and so is a member of an object, with its key."""

import json

import regex

from llmattr.core.plain_json import is_json
from llmattr.text.split import code
from llmattr.text.split.blocks import Block

_BETWEEN = regex.compile(r"[\s,:]*")
_decode = json.JSONDecoder().raw_decode


def blocks(text: str) -> list[Block]:
    """Members of objects that have no members, and elements of lists that have; what is no JSON is read as code."""
    if not is_json(text):
        return code.blocks(text)
    found: list[Block] = []
    start = _next(text, 0)
    try:
        _value(text, start, start, found)
    except RecursionError:
        return code.blocks(text)
    return found


def _value(text: str, start: int, at: int, found: list[Block]) -> int:
    """Add what a value at `at` has, with its key, which begins at `start`; return where it ends."""
    if text[at] == "{":
        return _members(text, at, found)
    value, end = _decode(text, at)
    if isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
        at = _next(text, at + 1)
        while text[at] != "]":
            start = at
            _, at = _decode(text, start)
            found.append(Block(start, at, "row"))
            at = _next(text, at)
    elif value not in ([], ""):  # which says nothing
        found.append(Block(start, end, "row"))
    return end


def _members(text: str, at: int, found: list[Block]) -> int:
    """Add the members of the object at `at`; return where it ends."""
    at = _next(text, at + 1)
    while text[at] != "}":
        _, behind = _decode(text, at)
        at = _next(text, _value(text, at, _next(text, behind), found))
    return at + 1


def _next(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    return between.end() if between else at
