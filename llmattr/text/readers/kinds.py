"""What a file is, by its first bytes."""

import io
import zipfile
from types import MappingProxyType

from llmattr.errors import LlmattrError

# What begins so is no text. The longer beginning stands before the shorter.
BEGINNINGS = MappingProxyType(
    {
        b"\x89PNG": "a picture",
        b"\xff\xd8\xff": "a picture",
        b"GIF8": "a picture",
        b"II*\0": "a picture",
        b"MM\0*": "a picture",
        b"\0\0\1\0": "a picture",
        b"ID3": "a sound file",
        b"fLaC": "a sound file",
        b"OggS": "a sound or video file",
        b"RIFF": "a picture, sound or video file",
        b"\x1aE\xdf\xa3": "a video",
        b"\x1f\x8b": "a gzip archive: unpack it",
        b"BZh": "a bzip2 archive: unpack it",
        b"\xfd7zXZ": "an xz archive: unpack it",
        b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it",
        b"7z\xbc\xaf": "a 7z archive: unpack it",
        b"Rar!": "a RAR archive: unpack it",
        b"\xd0\xcf\x11\xe0": "an old Office file, or one with a password: save it as .docx, without one",
        b"\x7fELF": "a program",
        b"MZ": "a program",
        b"\xcf\xfa\xed\xfe": "a program",
        b"SQLite format": "a database",
        b"PAR1": "a parquet file: write it as CSV or JSON lines",
        b"GGUF": "a model",
        b"\x93NUMPY": "a NumPy array",
        b"\x89HDF": "an HDF5 file",
        b"\x80\x04\x95": "a pickle",
    }
)
# What a ZIP archive has in it, or says of itself in `mimetype`.
ZIPPED = MappingProxyType(
    {
        "word/document.xml": "docx",
        "application/vnd.oasis.opendocument.text": "odt",
        "xl/workbook.xml": "an Excel file: save it as CSV",
        "ppt/presentation.xml": "a PowerPoint file: save it as PDF",
        "application/epub+zip": "an EPUB book: convert it to HTML or PDF",
    }
)
_CONTROLS = frozenset({*range(32), 127} - {*b"\t\n\v\f\r\x1b"})  # colours of a terminal are text
MARKUP = (b"<!doctype html", b"<html")
XML = (b"<?xml ", b"\xef\xbb\xbf<?xml ")


def kind_of(data: bytes, name: str, most: int) -> str | None:
    """The ending of the files that these bytes are, such as "pdf", or what they are in words; None: nothing that is known.

    Raises `LlmattrError` for an archive that would unpack to more than `most` bytes.
    """
    start = data[:1024].lstrip()
    if start.startswith(b"%PDF-"):
        return "pdf"
    if start.startswith(b"{\\rtf"):
        return "rtf"
    if start.lower().startswith(MARKUP):
        return "html"
    if start.startswith(XML):
        return "xml"
    if data.startswith(b"PK\x03\x04"):
        return _zipped(data, name, most)
    if data[4:8] == b"ftyp":
        return "a picture or video"
    known = next((kind for beginning, kind in BEGINNINGS.items() if data.startswith(beginning)), None)
    return known if known and _is_binary(data) else None


def _is_binary(data: bytes) -> bool:
    """Whether the beginning, which words of a text may have too, goes on as no text does."""
    return any(byte in _CONTROLS for byte in data[:4096])


def _zipped(data: bytes, name: str, most: int) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(file.file_size for file in archive.infolist())
            names = set(archive.namelist())
            says = archive.read("mimetype").decode("ascii", "replace").strip() if "mimetype" in names else ""
    except Exception:  # a damaged one raises what its parts raise
        return "a damaged or locked ZIP archive"
    if size > most:
        raise LlmattrError(f"{name!r} unpacks to {size / 2**20:,.0f} MB: at most {most / 2**20:,.0f} MB are read")
    return next((kind for inside, kind in ZIPPED.items() if inside in names or inside == says), "a ZIP archive: unpack it")
