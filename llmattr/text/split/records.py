"""JSON lines: a record is a source."""

import json
from itertools import islice

from llmattr.text.split.blocks import Block, newlines_of


def blocks(text: str) -> list[Block]:
    """One block a line."""
    lines = [line for line in newlines_of(text) if line.text.strip()]
    return [Block(line.end - len(line.text.lstrip()), line.start + len(line.text.rstrip()), "row") for line in lines]


def are_records(text: str) -> bool:
    """Whether the first lines are JSON, each for itself, and the first an object or an array."""
    lines = list(islice((line.text.strip() for line in newlines_of(text) if line.text.strip()), 20))
    return len(lines) > 1 and lines[0][0] in "{[" and lines[1][0] in '{["' and all(map(_is_json, lines))


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
