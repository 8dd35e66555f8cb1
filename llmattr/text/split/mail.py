"""E-mail: sentences of the text; header lines, who wrote what and signatures cannot be quoted, each line for itself."""

import regex

from llmattr.text.split import plain
from llmattr.text.split.blocks import Block, Line, lines_of

_HEADER = regex.compile(
    r"(?:From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Message-ID|In-Reply-To|Received|Return-Path|MIME-Version|Content-[\w-]+|X-[\w-]+"
    r"|Von|An|Betreff|Datum|De|À|Objet|Asunto|Para):\s"
)
_FROM_AND_ABOUT = regex.compile(r"(?:From|Von|De):\s[^\n]+\n(?:\S+:\s[^\n]+\n)*(?:Subject|Betreff|Objet|Asunto):\s")
_WROTE = regex.compile(r".*(?:wrote|schrieb|a écrit|escribió|ha scritto|kirjoitti|пишет|написал).{0,80}:\s*$")
_ON_A_DAY = regex.compile(r"(?:On|Am|Le|El|Il|Em)\b.*\d.*[^.!?]$")  # where the line that says who wrote was wrapped
_FORWARD = regex.compile(r"\s*-{3,}\s*\p{L}[^-]*-{3,}\s*$")
_CLOSING = regex.compile(
    r"(?:(?:many )?thanks|thank you|cheers|sincerely|(?:kind |best )?regards|best(?: wishes)?|yours(?: sincerely| truly)?"
    r"|(?:viele |liebe )?grüße|gruß|mit freundlichen grüßen|cordialement|bien à vous|amitiés|(?:un )?saludos?|atentamente"
    r"|terveisin|с уважением),?\s*$",
    regex.I,
)
_SENT_FROM = regex.compile(r"(?:Sent from my|Von meinem|Envoyé de mon|Enviado desde)\s")
_NAME = regex.compile(
    r"(?:[\p{Lu}\p{Lo}][\p{L}\p{M}.'’-]*(?:,?\s+(?:\p{Ll}{1,3}\s+)*|$)){1,6}|[^\p{L}]+|\S*(?:@|www\.|://)\S*"
)  # or where they are reached
_NAMES = 4  # lines: a closing has no more names behind it


def blocks(text: str) -> list[Block]:
    """The blocks of a message, or of several."""
    lines = lines_of(text)
    return plain.blocks_around(lines, _furniture(lines))


def is_mail(text: str) -> bool:
    """Whether a text begins with headers, with an address or with who and about what; or quotes who wrote."""
    lines = lines_of(text)
    said = [plain.said(line) for line in lines]
    headers = [line for line in said[:4] if _HEADER.match(line)]
    sent = any("@" in line for line in headers) or _FROM_AND_ABOUT.search("\n".join(said[:8]))
    wrote = any(_WROTE.match(line) and ("@" in line or _ON_A_DAY.match(line)) for line in said)
    quotes = any(line.text.startswith(">") for line in lines)
    return (len(headers) > 1 and bool(sent)) or bool(said and _FORWARD.match(said[0])) or (wrote and quotes)


def _furniture(lines: list[Line]) -> set[int]:
    """Where the lines start that are of the post and not of the writer."""
    found: set[int] = set()
    header, signature, closing = True, False, 0
    for before, line, after in zip([None, *lines], lines, [*lines[1:], None], strict=False):
        said = plain.said(line)
        wrote = bool(_WROTE.match(said))
        if wrote or (before and plain.depth(line) != plain.depth(before)):  # another one speaks
            signature, closing = False, 0
        if wrote and before and _ON_A_DAY.match(plain.said(before)):
            found.add(before.start)
        if said == "--":
            signature = True
        if _FORWARD.match(said) or (after and _HEADER.match(said) and _HEADER.match(plain.said(after))):
            header, signature = True, False
            found.add(line.start)
        elif header and (_HEADER.match(said) or (found and line.text[:1] in " \t" and said)):
            found.add(line.start)
        elif signature or wrote or _SENT_FROM.match(said) or _CLOSING.match(said):
            found.add(line.start)
            closing = _NAMES if _CLOSING.match(said) else closing
        elif closing and _NAME.fullmatch(said):
            found.add(line.start)
            closing -= 1
        else:
            closing = 0
        header = header and bool(said or not found) and (line.start in found or not said)
    return found
