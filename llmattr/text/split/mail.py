"""E-mail: sentences of the text; header lines, who wrote what and signatures cannot be quoted, each line for itself."""

import regex

from llmattr.text.split import plain
from llmattr.text.split.blocks import Block, Line, lines_of

_HEADER = regex.compile(r"(?:From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Message-ID|In-Reply-To|Received|Return-Path|MIME-Version|Content-[\w-]+|X-[\w-]+|Von|An|Betreff|Datum|De|À|Objet|Asunto|Para):\s")
_WROTE = regex.compile(r".*(?:wrote|schrieb|a écrit|escribió|ha scritto|kirjoitti|пишет|написал).{0,80}:\s*$")
_FORWARD = regex.compile(r"\s*-{3,}\s*\p{L}[^-]*-{3,}\s*$")
_CLOSING = regex.compile(
    r"(?:best|cheers|thanks|many thanks|thank you|regards|kind regards|best regards|best wishes|sincerely|yours|yours sincerely|yours truly|yours faithfully"
    r"|viele grüße|mit freundlichen grüßen|liebe grüße|gruß|grüße|cordialement|bien à vous|amitiés|saludos|un saludo|atentamente|terveisin|с уважением),?\s*$",
    regex.I,
)
_SENT_FROM = regex.compile(r"(?:Sent from my|Von meinem|Envoyé de mon|Enviado desde)\s")
_NAMES = 4  # lines: a closing has no more names behind it


def blocks(text: str) -> list[Block]:
    """The blocks of a message, or of several."""
    lines = lines_of(text)
    return plain.blocks_around(lines, _furniture(lines))


def is_mail(text: str) -> bool:
    """Whether a text begins with headers, or says who wrote what, or ends with a signature."""
    said = [plain.said(line) for line in lines_of(text[:20_000])]
    headers = [line for line in said[:4] if _HEADER.match(line)]
    wrote = any(_WROTE.match(line) and regex.search(r"\d", line) for line in said)
    return len(headers) > 1 or bool(said and _FORWARD.match(said[0])) or (wrote and any(">" in line.text[:2] for line in lines_of(text)))


def _furniture(lines: list[Line]) -> set[int]:
    """Where the lines start that are of the post and not of the writer."""
    found: set[int] = set()
    header, signature, closing = True, False, 0
    for line in lines:
        said = plain.said(line)
        if said == "--":
            signature = True
        if _FORWARD.match(said):
            header = True
            found.add(line.start)
        elif header and (_HEADER.match(said) or (found and line.text[:1] in " \t" and said)):
            found.add(line.start)
        elif signature or _WROTE.match(said) or _SENT_FROM.match(said) or _CLOSING.match(said):
            found.add(line.start)
            closing = _NAMES if _CLOSING.match(said) else closing
        elif closing and said and len(said) < 50:
            found.add(line.start)
            closing -= 1
        else:
            closing = 0
        header = header and bool(said or not found) and (line.start in found or not said)
    return found
