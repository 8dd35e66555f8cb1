"""Files as people have them, each read to a document: its text, its title, and what is known of its places.

A format is one function `(bytes, name) -> Document` and a line in `READERS`.
"""

import dataclasses
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, note
from llmattr.text.readers.finding import find_files, is_pattern, path_of, shown
from llmattr.text.readers.kinds import kind_of
from llmattr.text.readers.plain import FileReader, read_plain, read_rtf, reader_of
from llmattr.text.split.blocks import WHITE
from llmattr.text.split.formats import ENDINGS


def _of(place: str) -> FileReader:
    """The reader at this place of the folder, which is imported where a file is of its kind."""
    return lambda data, name: resolve_name(f"{__package__}.{place}")(data, name)


READERS: Mapping[str, FileReader] = MappingProxyType(
    {
        **{ending: reader_of(name) for ending, name in ENDINGS.items()},
        "txt": read_plain,
        "pdf": _of("pdf:read_pdf"),
        "html": _of("html:read_html"),
        "htm": _of("html:read_html"),
        "xhtml": _of("html:read_html"),
        "docx": _of("docx:read_docx"),
        "odt": _of("odt:read_odt"),
        "rtf": read_rtf,
        "eml": _of("mail:read_mail"),
        "ipynb": _of("notebook:read_notebook"),
        "xml": _of("xml:read_xml"),
        "rss": _of("xml:read_xml"),
        "atom": _of("xml:read_xml"),
    }
)
MOST = 2**27  # bytes of a file: 128 MB


def read_file(path: object) -> Document:
    """A file by what it is, else by its ending (`READERS`), else as plain text; its id is its path.

    Raises `LlmattrError` for one that is empty, too large, no text, damaged, or that changes while it is read.
    """
    path = path_of(path)
    name = shown(path)
    try:
        is_pipe = Path(path).is_fifo()
        with open(path, "rb", opener=_at_once if is_pipe else None) as file:
            before = os.fstat(file.fileno())
            data = file.read(MOST + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise LlmattrError(f"cannot read {name!r}: {error.strerror or error}") from None
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed and stat.S_ISREG(before.st_mode):  # a pipe does
        raise LlmattrError(f"{name!r} changed while it was read: try again")
    document = read_bytes(data, name, _ending(path))
    return dataclasses.replace(document, metadata={"path": name, **document.metadata})


def _at_once(name: str, flags: int) -> int:
    """Opens a pipe without waiting for one who writes to it: if there is none, it is at its end."""
    file = os.open(name, flags | os.O_NONBLOCK)
    os.set_blocking(file, True)
    return file


def _ending(path: str | os.PathLike[str]) -> str:
    return Path(path).suffix.lower().lstrip(".")


def read_bytes(data: bytes, name: str, ending: str = "") -> Document:
    """The same of what a file has in it, such as standard input; `name` is its document's id."""
    if len(data) > MOST:
        raise LlmattrError(f"{name!r} has more than {MOST / 2**20:.0f} MB: give the part of it that matters")
    kind = kind_of(data, name, MOST)
    if (kind == "html" and ending) or (kind == "xml" and ending in READERS):
        kind = None  # of a template, say, the ending tells more
    if kind is not None and kind not in READERS:
        advice = "" if ":" in kind else ": give text, or a file of a kind that is read"
        raise LlmattrError(f"{name!r} is {kind}{advice}")
    reader = READERS.get(kind or ending, read_plain)
    document = reader(data, name)
    if not document.text.strip(WHITE):
        raise LlmattrError(f"{name!r} is empty: it must have text in it")
    return document


def read_files(name: object) -> list[Document]:
    """The documents of a file, a folder with all below it, or a pattern such as `docs/**/*.md`, in order of their paths.

    What cannot be read in a folder is left out with one note; alone, or where nothing else is there, it is refused.
    """
    name = path_of(name)
    return read_found(find_files(name), name)


def read_found(files: Sequence[Path], name: str) -> list[Document]:
    """The same of the files that were found under this name."""
    if not (is_pattern(name) or Path(name).is_dir()):
        return [read_file(files[0])]
    documents: list[Document] = []
    refused: list[str] = []
    for path in files:
        try:
            documents.append(read_file(path))
        except LlmattrError as error:
            refused.append(str(error))
    if not documents:
        raise LlmattrError(f"none of the {len(files)} files of {shown(name)!r} can be read: {refused[0]}")
    if refused:
        more = f"; and {len(refused) - 3} more" if len(refused) > 3 else ""
        note(f"{len(refused)} of {len(files)} files of {shown(name)!r} are left out: {'; '.join(refused[:3])}{more}")
    return documents


def with_files_read(context: object) -> object:
    """A context with the documents of each `Path` in its place; texts stay texts."""
    if isinstance(context, os.PathLike):
        return read_files(context)
    if isinstance(context, (list, tuple)) and any(isinstance(one, os.PathLike) for one in context):
        return [one for given in context for one in (read_files(given) if isinstance(given, os.PathLike) else [given])]
    return context


def is_document(path: str | os.PathLike[str]) -> bool:
    """Whether the ending of a file says how to read it."""
    return _ending(path) in READERS
