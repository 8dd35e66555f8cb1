"""E-mail: what a message says, with its subject, sender and date."""

from email import message_from_bytes, policy
from email.errors import InvalidBase64CharactersDefect, InvalidBase64LengthDefect
from email.message import MIMEPart
from typing import Any

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, note
from llmattr.text.readers.encodings import decode
from llmattr.text.readers.html import from_html

_DAMAGE = (InvalidBase64CharactersDefect, InvalidBase64LengthDefect)


def read_mail(data: bytes, name: str) -> Document:
    """A message's text, or its HTML where it has nothing else; what is attached is left out, with a note."""
    try:
        message = message_from_bytes(data, policy=policy.default)
        attached = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        known = {"title": message["subject"], "author": message["from"], "date": _day(message)}
        metadata = {key: str(value) for key, value in known.items() if value}
        body = message.get_body(("plain", "html"))
        kind, text = ("text/plain", "") if body is None else (body.get_content_type(), _text(body, name))
    except LlmattrError:
        raise
    except Exception as error:  # what a damaged header raises
        raise LlmattrError(f"{name!r} is a message that cannot be read ({type(error).__name__}: {error!s:.80})") from error
    if attached:
        note(f"{name!r}: what is attached is left out: {', '.join(attached)}")
    if kind == "text/html":
        return Document(from_html(text, name).text, name, metadata.get("title"), "markdown", metadata=metadata)
    return Document(text, name, metadata.get("title"), "email", metadata=metadata)


def _text(body: MIMEPart, name: str) -> str:
    data: Any = body.get_payload(decode=True)
    if any(isinstance(defect, _DAMAGE) for defect in body.defects):
        raise LlmattrError(f"{name!r} is a message that cannot be read: its base64 is damaged")
    return decode(data, name, body.get_content_charset()).replace("\r\n", "\n")


def _day(message: MIMEPart) -> str:
    date = message["date"]
    return date.datetime.isoformat() if date is not None and date.datetime is not None else ""
