"""Logs and chats: where their entries begin, each with its time, who speaks, or the prompt of a shell."""

import itertools
from collections.abc import Sequence

import regex

_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SEVERE)\b"
_REQUEST = r"\S+ \S+ \S+ \[\d\d/\p{L}{3}/\d{4}:\d\d:"  # Common Log Format: host, who, user, time
_STAMPED = regex.compile(  # an entry of a log or a chat begins with its time, or who speaks and when; a shell's with its prompt
    r"[\[(<]?(?:(?:\p{Lu}\p{Ll}{2,8}\.?,?\s+){0,2}(?:\d{1,2}\s+)?(?:\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?:T(?=\d)|\b)|\d{1,2}:\d{2}\b))"
    rf"|\$\s|\[?{_LEVEL}(?:[\]:]|\s+[\[\d])|{_REQUEST}"
)
SPEAKER = regex.compile(
    r"\p{L}[\p{L}\p{M}\d_.'’-]*(?: \p{L}[\p{L}\p{M}.'’-]*){0,3}\s+\[?\d{1,2}:\d{2}(?:\s?[AaPp]\.?[Mm]\.?)?\]?"
)
LOGGED = regex.compile(rf".{{0,80}}?(?:\b{_LEVEL}|[\w)]\[\d+\]:\s)|{_REQUEST}")
COMMAND = regex.compile(r"\$\s[\p{Ll}.~/]")


def entries(texts: Sequence[str]) -> list[int]:
    """Where the entries of a log or a chat begin; what is none is one."""
    begins = [i for i, text in enumerate(texts) if _STAMPED.match(text)]
    if begins[:1] == [0]:
        return begins
    begins = [i for i, text in enumerate(texts) if SPEAKER.fullmatch(text)]
    return begins if begins[:1] == [0] and all(b - a > 1 for a, b in itertools.pairwise([*begins, len(texts)])) else [0]
