"""How a text is built: by its name, else as it looks; what does not clearly look like anything is plain."""

from collections.abc import Callable

from llmattr.errors import LlmattrError, did_you_mean
from llmattr.text.split import plain
from llmattr.text.split.blocks import Block

FORMATS: dict[str, Callable[[str], list[Block]]] = {"plain": plain.blocks}


def looks_like(text: str) -> str:
    """The format that a text looks like."""
    return "plain"


def find_format(text: str, format: str | None = None) -> str:
    """The name in `FORMATS` of a text's format, which may be given as the ending of a file; None: as the text looks."""
    if format is None:
        return looks_like(text)
    name = format.lower().lstrip(".")
    if name not in FORMATS:
        raise LlmattrError(f"unknown format {format!r}{did_you_mean(format, FORMATS)} (there are: {', '.join(FORMATS)})")
    return name
