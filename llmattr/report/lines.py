"""Texts as lines of a terminal."""

import re


def plain(text: str) -> str:
    """Text without control characters, which a terminal would obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def one_line(text: str, most: int = 160) -> str:
    """The text on one line, its end cut off when it is long."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
