"""Places in a text, in the units that others count: code points (Python's), UTF-16 code units (JavaScript's), UTF-8 bytes."""

from llmattr.errors import LlmattrError

POINTS, UTF16, UTF8 = "code points", "UTF-16 code units", "UTF-8 bytes"
_ENCODED = {UTF16: ("utf-16-le", 2), UTF8: ("utf-8", 1)}


def offset(text: str, place: int, unit: str = POINTS) -> int:
    """What others count up to this code point.

    >>> [offset("é🗼!", 2, unit) for unit in (POINTS, UTF16, UTF8)]
    [2, 3, 6]
    """
    if unit == POINTS:
        return place
    encoding, size = _ENCODED[unit]
    return len(text[:place].encode(encoding)) // size


def span(text: str, start: object, end: object, unit: str = POINTS, says: str | None = None) -> tuple[int, int]:
    """The code points of `text` from `start` to before `end`, counted in this unit.

    Where it is known what the text `says` there, and another unit leads to it, that one was counted in: programs in between
    count as their language does. Raises `LlmattrError` for what is no place of the text.
    """
    first = found = _span(text, start, end, unit)
    for other in (POINTS, UTF16, UTF8):
        if says and (found is None or text[slice(*found)] != says):
            found = _span(text, start, end, other)
    if says and found is not None and text[slice(*found)] == says:
        return found
    if first is None:
        size = offset(text, len(text), unit)
        raise LlmattrError(
            f"a citation stands at {start!r:.20} to {end!r:.20} of a text of {size} {unit}: there is no such part"
        )
    return first


def _span(text: str, start: object, end: object, unit: str) -> tuple[int, int] | None:
    first, last = _place(text, start, unit), _place(text, end, unit)
    return None if first is None or last is None or last < first else (first, last)


def _place(text: str, counted: object, unit: str) -> int | None:
    """The code point up to which this was counted; None where there is none, or none begins."""
    if not isinstance(counted, int) or isinstance(counted, bool) or counted < 0:
        return None
    if unit == POINTS:
        return counted if counted <= len(text) else None
    encoding, size = _ENCODED[unit]
    encoded = text.encode(encoding)
    try:
        return len(encoded[: counted * size].decode(encoding)) if counted * size <= len(encoded) else None
    except UnicodeDecodeError:
        return None
