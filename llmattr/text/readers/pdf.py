"""PDF: the text of its pages in the order of reading, without running heads, each place with its page."""

import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from llmattr.core.progress import progress
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, note
from llmattr.text.readers.flowing import flowing
from llmattr.text.readers.lines import Line, in_columns, joined
from llmattr.text.readers.needs import needs
from llmattr.text.readers.roles import roles
from llmattr.text.readers.running_heads import without_running_heads

if TYPE_CHECKING:
    from pypdf import DocumentInformation, PageObject, PdfReader

_A_FILE = re.compile(
    r"\.(?:docx?|tex|dvi|indd|pptx?|xlsx?|odt|rtf|html?|pdf|qxd)\s*$|^Microsoft \w+ - |^untitled$", re.IGNORECASE
)
_BOLD = re.compile(r"bold|black|heavy|demi|CMBX|SFBX|-Medi", re.IGNORECASE)  # in the name of a font
_MONO = re.compile(r"mono|courier|consol|typewriter|menlo|CMTT|SFTT", re.IGNORECASE)
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_BULLETS = dict.fromkeys((0x7F, 0xF0A7, 0xF0B7, 0xF0D8), "•")  # the unused codes of WinAnsi, and those of symbol fonts
_AS_READ = {**_LIGATURES, **_BULLETS, 0: None}


def read_pdf(data: bytes, name: str) -> Document:
    """The text of all pages; raises `LlmattrError` for one with a password, of pictures alone, or that is damaged."""
    with _silent("pypdf"):
        opened = _opened(data, name)
        pieces = [_pieces_of(page) for page in progress(opened.pages, f"reading {name}", "pages")]
        known = _known(opened)
    pages = [joined(in_columns(one)) for one in pieces]
    empty = [number for number, lines in enumerate(pages, 1) if not lines]
    if len(empty) == len(pages):
        raise LlmattrError(f"{name!r} is a PDF without text ({len(pages)} pages, scanned or damaged): recognise it first (OCR)")
    if empty:
        note(f"{name!r}: {len(empty)} of {len(pages)} pages have no text (scanned, damaged?), the first is page {empty[0]}")
    pages = without_running_heads(pages)
    text, places, blocks = flowing(pages, roles(pages))
    return Document(text, name, format="plain", metadata=known, places=places, blocks=blocks)


def _opened(data: bytes, name: str) -> "PdfReader":
    with needs("PDF"):
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    try:
        opened = PdfReader(io.BytesIO(data))
        if not (opened.is_encrypted and not opened.decrypt("")):
            len(opened.pages)  # which finds what is damaged
            return opened
    except DependencyError:
        raise LlmattrError(f"{name!r} is an encrypted PDF: save it without encryption") from None
    except Exception as error:  # what a damaged file raises in its many parsers
        raise LlmattrError(f"{name!r} is a PDF that cannot be read ({type(error).__name__}: {error!s:.80})") from error
    raise LlmattrError(f"{name!r} is a PDF with a password: save it without one")


@contextmanager
def _silent(library: str) -> Iterator[None]:
    """Nothing of the many small faults that a library mends by itself."""
    log = logging.getLogger(library)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _known(opened: "PdfReader") -> dict[str, str]:
    """Title (unless it is the name of a file), author and day; nothing where the file says it in no known way."""
    with suppress(Exception):
        return _said(opened.metadata)
    return {}


def _said(about: "DocumentInformation | None") -> dict[str, str]:
    if about is None:
        return {}
    date = None
    with suppress(ValueError, TypeError):
        date = about.creation_date
    title = (about.title or "").strip()
    known = {
        "title": "" if _A_FILE.search(title) else title,
        "author": (about.author or "").strip(),
        "date": date.date().isoformat() if date else "",
    }
    return {key: value for key, value in known.items() if value}


def _pieces_of(page: "PageObject") -> list[Line]:
    """The pieces of a page as they were written; what stands upright beside them (a stamp on the margin) is left out."""
    with suppress(Exception):  # a damaged page raises anything, and is left out like one without text
        return _pieces(page, (0,)) or _pieces(page, (0, 90, 180, 270))
    return []


def _pieces(page: "PageObject", orientations: tuple[int, ...]) -> list[Line]:
    pieces: list[Line] = []

    def take(text: str, frame: list[float], place: list[float], font: Mapping[str, object] | None, size: float) -> None:
        x = place[4] * frame[0] + place[5] * frame[2] + frame[4]
        y = place[4] * frame[1] + place[5] * frame[3] + frame[5]
        tall = size * abs(place[2] * frame[0] + place[3] * frame[2] + place[2] * frame[1] + place[3] * frame[3])
        clean = text.translate(_AS_READ).encode("utf-8", "ignore").decode()  # half a surrogate pair is no text
        if clean.strip():
            called = str((font or {}).get("/BaseFont", ""))
            pieces.append(Line(clean.replace("\n", " "), x, y, tall, bool(_BOLD.search(called)), bool(_MONO.search(called))))
        elif pieces and clean == " ":
            pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + clean)

    page.extract_text(orientations=orientations, visitor_text=take)
    return pieces
