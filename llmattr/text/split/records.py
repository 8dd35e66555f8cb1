"""JSON lines: a record is a source."""

from llmattr.text.split.blocks import Block, newlines_of


def blocks(text: str) -> list[Block]:
    """One block a line."""
    lines = [line for line in newlines_of(text) if line.text.strip()]
    return [Block(line.end - len(line.text.lstrip()), line.start + len(line.text.rstrip()), "row") for line in lines]
