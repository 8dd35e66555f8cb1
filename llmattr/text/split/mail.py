"""E-mail: sentences of the text; header lines, who wrote what and signatures cannot be quoted, each line for itself."""

import regex

from llmattr.text.split import plain
from llmattr.text.split.blocks import Block, Line, lines_of
from llmattr.text.split.formats import FORWARD, HEADER, ON_A_DAY, WROTE

_CLOSING = regex.compile(
    r"(?:(?:many )?thanks|thank you|cheers|sincerely|(?:kind |best )?regards|best(?: wishes)?|yours(?: sincerely| truly)?"
    r"|(?:viele |liebe )?grüße|gruß|mit freundlichen grüßen|cordialement|bien à vous|amitiés|(?:un )?saludos?|atentamente"
    r"|terveisin|с уважением),?\s*$",
    regex.I,
)
_POSTMARK = regex.compile(r"From \S+\s.*\d{1,2}:\d{2}.*\b\d{4}\s*$")  # between the messages of a mailbox
_SENT_FROM = regex.compile(r"(?:Sent from my|Von meinem|Envoyé de mon|Enviado desde)\s")
_NAME = regex.compile(
    r"(?:[\p{Lu}\p{Lo}][\p{L}\p{M}.'’-]*(?:,?\s+(?:\p{Ll}{1,3}\s+)*|$)){1,6}|[^\p{L}]+|\S*(?:@|www\.|://)\S*"
)  # or where they are reached
_NAMES = 4  # lines: a closing has no more names behind it


def blocks(text: str) -> list[Block]:
    """The blocks of a message, or of several."""
    lines = lines_of(text)
    return plain.blocks_around(lines, _furniture(lines))


def _furniture(lines: list[Line]) -> set[int]:
    """Where the lines start that are of the post and not of the writer."""
    found: set[int] = set()
    header, signature, closing = True, False, 0
    for before, line, after in zip([None, *lines], lines, [*lines[1:], None], strict=False):
        said = line.said
        wrote = bool(WROTE.match(said))
        if wrote or (before and line.depth != before.depth):  # another one speaks
            signature, closing = False, 0
        if wrote and before and ON_A_DAY.match(before.said):
            found.add(before.start)
        if said == "--":
            signature = True
        if FORWARD.match(said) or _POSTMARK.match(line.text) or (after and HEADER.match(said) and HEADER.match(after.said)):
            header, signature = True, False
            found.add(line.start)
        elif header and (HEADER.match(said) or (found and line.text[:1] in " \t" and said)):
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
