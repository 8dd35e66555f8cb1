"""From bytes to text: Unicode with and without marks, the old encodings of Windows with a note, and nothing that is no text."""

import codecs
import string

import regex

from llmattr.errors import LlmattrError, note

MARKS = {  # that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_NO_TEXT = regex.compile(r"(?V1)[\p{Cc}\p{Cn}\p{Co}\p{Cs}--[\t-\r\x1b\x85]]")  # colours of a terminal are left in
_EAST = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\u3000-\u303f\uff00-\uffef]")
_CONTROL = regex.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def decode(data: bytes, name: str, declared: str | None = None) -> str:
    """The text that the bytes of a file hold: by its mark, as UTF-8, as it says itself (`declared`), else as it looks.

    What was assumed of an encoding that is not said is told in a note. Raises `LlmattrError` for what is no text.
    """
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding, name).removeprefix("\ufeff")  # some write it twice
    if b"\0" in data:
        return _without_mark(data, name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = _declared(data, declared) or _old(data, name, error.start)
    if len(_CONTROL.findall(text)) > len(text) / 10:
        raise LlmattrError(f"{name!r} is binary: give text, or a file of a kind that is read")
    return text


def _marked(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        what = f"{encoding[:-3] if encoding in WIDE else encoding}".upper()
        raise LlmattrError(f"{name!r} is damaged: it is {what} text, but not at byte {error.start} ({error.reason})") from None


def _without_mark(data: bytes, name: str) -> str:
    """UTF-16 and UTF-32 have NUL bytes for every character of ASCII, of which any text has some; else a few are damage."""
    nuls = data.count(0)
    if nuls <= len(data) / 1000 and (text := _attempt(data.replace(b"\0", b"\xef\xbf\xbd"), "utf-8")) is not None:
        note(f"{name!r} has {nuls} NUL bytes, the first is byte {data.index(0)}: they are read as \ufffd")
        return text
    found = {encoding: text for encoding in WIDE if (text := _attempt(data, encoding)) is not None}
    found = {encoding: text for encoding, text in found.items() if _is_written(text)}
    if not found:
        raise LlmattrError(f"{name!r} is binary: give text, or a file of a kind that is read")
    encoding = min(found, key=lambda encoding: len(found[encoding].encode()))  # with its bytes swapped ASCII is Chinese
    note(f"{name!r} does not say its encoding: it was read as {encoding.upper()}")
    return found[encoding]


def _is_written(text: str) -> bool:
    """Whether it has as much ASCII as texts have, or next to nothing but the letters of East Asia."""
    ascii_only = len(text.encode("ascii", "ignore"))
    return ascii_only > len(text) / 10 or len(_EAST.findall(text)) > 0.9 * (len(text) - ascii_only)


def _attempt(data: bytes, encoding: str) -> str | None:
    """The text, where every character is one that texts have."""
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    return None if _NO_TEXT.search(text) else text


def _declared(data: bytes, declared: str | None) -> str | None:
    return _attempt(data, declared) if declared else None


def _old(data: bytes, name: str, byte: int) -> str:
    """Text that is not UTF-8: damaged at a few places, or in an encoding that is older."""
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        pass
    else:
        raise LlmattrError(f"{name!r} is not UTF-8 text: at byte {byte} it has half a surrogate pair")
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    mostly_utf8 = len(regex.findall(r"[^\x00-\x7f]", text)) >= 2 * damaged  # of what is not ASCII
    encoding = None if mostly_utf8 else "cp1252" if _looks_western(data) and _attempt(data, "cp1252") else _guessed(data)
    found = _attempt(data, encoding) if encoding else None
    if found is not None:
        called = "Latin-1 (Windows-1252)" if encoding == "cp1252" else encoding
        note(f"{name!r} is not UTF-8 (byte {byte}) and does not say its encoding: it was read as {called}")
        return found
    if mostly_utf8 or damaged <= len(data) / 100:
        note(f"{name!r} is not UTF-8 at {damaged} places, the first is byte {byte}: they are read as \ufffd")
        return text
    raise LlmattrError(
        f"{name!r} is not text in UTF-8, UTF-16 or Latin-1 (byte {byte}): convert it, for example with iconv, "
        "or give a file of a kind that is read"
    )


def _looks_western(data: bytes) -> bool:
    """Whether few of the letters are not ASCII, as in texts in Latin letters."""
    others = len(data.translate(None, delete=bytes(range(128))))
    letters = len(data) - len(data.translate(None, delete=string.ascii_letters.encode()))
    return others <= 0.4 * letters


def _guessed(data: bytes) -> str | None:
    """What charset-normalizer takes it for, where that is installed."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    best = from_bytes(data[: 2**16]).best()
    return None if best is None else best.encoding
