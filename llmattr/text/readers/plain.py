"""Texts as they stand: plain, Markdown, CSV, JSON lines, code, subtitles. And RTF, which becomes one."""

from collections.abc import Callable

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.readers.encodings import decode
from llmattr.text.readers.needs import needs

FileReader = Callable[[bytes, str], Document]


def read_plain(data: bytes, name: str, format: str | None = None) -> Document:
    """The text as it stands; its format is found by looking, where none is given."""
    return Document(decode(data, name), name, format=format)


def reader_of(format: str) -> FileReader:
    """What reads texts of this format, as they stand."""
    return lambda data, name: read_plain(data, name, format)


def read_rtf(data: bytes, name: str) -> Document:
    """The text of a file in the Rich Text Format."""
    with needs("RTF"):
        from striprtf.striprtf import rtf_to_text
    try:
        text = rtf_to_text(data.decode("latin-1"), errors="replace")
    except Exception as error:  # what a damaged one raises
        raise LlmattrError(f"{name!r} is an RTF file that cannot be read ({type(error).__name__}: {error!s:.80})") from error
    return Document(text.strip(), name, format="plain")
