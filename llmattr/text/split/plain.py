"""Plain text: lines that were wrapped are joined, lines that list are not; list items, quotations, headings, running heads."""

import itertools
from collections.abc import Iterator, Sequence, Set

import regex

from llmattr.text.split.blocks import ASKS, SENTENCE_END, Block, Kind, Line, is_blank, lines_of, says_something, seen
from llmattr.text.split.entries import COMMAND, LOGGED, SPEAKER, entries
from llmattr.text.split.pages import running_heads
from llmattr.text.split.wrapping import WIDE, Shape, is_open

# What opens a list item: a bullet, a number of any depth, a letter or a roman number, each with its stop.
_NAMED = r"M\.\s+\p{Lu}|\p{Lu}\.\s+\p{Lu}[\p{L}'’-]+,\s+\p{Lu}\."  # "M. Dupont", "A. Smith, B. Jones"
MARKER = regex.compile(
    rf"\s*(?:[-*+•‣◦▪·–—]|\#\.|(?!{_NAMED})\(?(?:\d{{1,3}}(?:\.\d{{1,3}})*[.)]|\d{{1,3}}(?:\.\d{{1,3}})+(?!\)?\s+\p{{Ll}})"
    r"|\p{L}\p{M}*[.)]|[ivxlcIVXLC]{1,6}[.)])\)?)\s+(?=\S)"
    r"|\s*\[\d{1,3}\]\s+(?=[^\p{Ll}\s])"
)
_REFERENCE = regex.compile(  # of a list of them: a number, who with initials, and in which year
    r"\[\d{1,3}\]\s+(?:(?:\p{Lu}\p{Ll}?\.[\s-]?)+\p{Lu}\p{Ll}|\p{Lu}[\p{L}'’-]+,\s\p{Lu}\p{Ll}?\.).*\b(?:1[5-9]|20)\d\d\b"
)
_CELLS = regex.compile(r"\S[ ]*\t\s*\S")
_COLUMNS = regex.compile(r"(?=.*\d).*[^\s.!?:;,]\s{2,}\S")
_LETTER = regex.compile(r"\p{L}\.\s")
_LATER = regex.compile(r"\(?(?!1\D)\d+[.)]")  # a number that no list begins with
_UNDERLINE = regex.compile(r"\s*(=+|-+|~+|\*+|\^+)\s*$")
_TITLE = regex.compile(r"(?!\p{Ll})(?=.*\p{L})[^\n\r]{2,80}(?<![.!?:;,。！？…।؟។៖៕៖၊။»”\"')])$")
_SECTION = regex.compile(r"\p{Lu}[\p{Lu} /&-]{3,40}")  # of a manual, whose text is set in below it
_OPTION = regex.compile(r"--?\w[^.!?]*$")  # of a command, above what it does
_VERB = regex.compile(  # of a sentence without its stop
    r"\b(?:is|are|was|were|has|have|ist|sind|wird|wurde|hat|est|sont|était|es|fue|está|είναι|ήταν|है|हैं|था|थी|थे)\b"
    r"|[うくすつぬむるただいね]$|[다요]$"
)
_TITLE_NUMBER = regex.compile(r"(?:\p{L}+ )?\d+(?:\.\d)*[.):]?(?!\S)")  # "2.1", "Chapter 3:"
_FACT = regex.compile(
    r"(?<!\d)(?!(?:1\d|20)\d\d(?!\d))\d|\w: [\p{Ll}\d]|^--?[\p{L}?]"
)  # "Flight 12", "Pros: light", "-l  list all"; a year may be of a title


def blocks(text: str) -> list[Block]:
    """The blocks of a plain text, one for each run of lines that a reader would read on through."""
    lines = lines_of(text)
    return _with_titles(text, blocks_around(lines, frozenset(), running_heads(text, lines)))


def blocks_around(lines: list[Line], furniture: Set[int], heads: Set[int] = frozenset()) -> list[Block]:
    """The blocks of lines of which some, by where they start, are furniture, each for itself, and others running heads."""
    found: list[Block] = []
    for run in _runs(lines, furniture, heads):
        if run[0].start in furniture:
            found.append(_block(run, "furniture", False))
        elif not says_something(run[-1].text):
            titled = not SENTENCE_END.search(run[0].text) and not _is_fact(run[0].said)
            found.append(_block(run[:1], "heading" if titled else "paragraph", not titled))
        else:
            found += _joined(run)
    return found


def prose(text: str, kind: Kind) -> list[Block]:
    """A paragraph of another format, with the kind that it has there: its lines are joined or parted as in plain text."""
    runs = _runs(lines_of(text), frozenset(), frozenset())
    found = [block for run in runs for block in _joined(run)]
    return [block if block.kind in ("row", "code") else block._replace(kind=kind) for block in found]


def _runs(lines: list[Line], furniture: Set[int], heads: Set[int]) -> Iterator[list[Line]]:
    """Lines between what no sentence goes on over: blank lines, rules, list marks, furniture, another depth of quotation.

    A sentence goes on over a running head. A title comes with the rule below it.
    """
    run: list[Line] = []
    blank = head = False
    for line in lines:
        text = line.said
        head = head or line.start in heads
        if line.start in heads or not text:
            blank = True
            continue
        rule = not _says(text) and line.start not in furniture
        if run and _parts(run, line, text, blank and not (head and is_open(run[-1].text, text)), furniture):
            title = rule and len(run) == 1 and not blank and _UNDERLINE.match(text)
            yield [*run, line] if title else run
            run = []
        run += [] if rule else [line]
        blank = head = False
    if run:
        yield run


def _parts(run: list[Line], line: Line, text: str, blank: bool, furniture: Set[int]) -> bool:
    """Whether a line begins something else than the run before it."""
    apart = blank or line.start in furniture or run[-1].start in furniture or not _says(text)
    return apart or (bool(MARKER.match(text)) and not _goes_on(run, text)) or line.depth != run[-1].depth


def _goes_on(run: list[Line], text: str) -> bool:
    r"""Whether a line that looks like an item is within a sentence: "by\nA. Okoro", "it ends with\n14. With more"."""
    last = run[-1].said
    if MARKER.match(run[0].said) or MARKER.match(last) or SENTENCE_END.search(last):
        return False
    return bool(_LETTER.match(text) or (_LATER.match(text) and len(last) >= WIDE))


def _says(line: str) -> bool:
    """Whether a line is more than a rule or tags, such as those that a prompt sets around a document."""
    return says_something(seen(line) if "<" in line else line)


def _are_numbers(line: str) -> bool:
    """Whether each of its words has a digit, and no two letters."""
    words = line.split()
    return len(words) > 1 and all(any(map(str.isdigit, word)) and sum(map(str.isalpha, word)) < 2 for word in words)


def _joined(run: list[Line]) -> list[Block]:
    """One block for each stretch of lines that were wrapped."""
    if len(run) > 1 and _SECTION.fullmatch(run[0].text) and run[1].indent > run[0].indent:
        return [_block(run[:1], "heading", False), *_joined(run[1:])]
    if len(run) > 2 and _OPTION.match(run[0].said) and run[1].indent > run[0].indent:
        return [_block(run[:1], "paragraph"), *_joined(run[1:])]
    texts = [line.said for line in run]
    if _REFERENCE.match(" ".join(texts)):
        return [_block(run, "row")]
    kind: Kind = "item" if MARKER.match(texts[0]) else "quote" if run[0].depth else "paragraph"
    if len(run) == 1:
        return [_block(run, "code" if COMMAND.match(texts[0]) else kind)]
    set_apart = any(all(map(cells, texts)) for cells in (_CELLS.search, _COLUMNS.match, _are_numbers))
    if set_apart and not any(map(MARKER.match, texts)):
        return [_block([line], "row") for line in run]
    begins = entries(texts)
    found: list[Block] = []
    for first, last in itertools.pairwise([*begins, len(run)]):
        if len(begins) > 1 and LOGGED.match(texts[first]):
            found.append(_block(run[first:last], "row"))
        else:
            found += _wrapped(run[first:last], texts[first:last], kind)
            kind = kind if kind == "quote" else "paragraph"
    return found


def _wrapped(run: Sequence[Line], texts: Sequence[str], kind: Kind) -> list[Block]:
    """One block for each stretch of lines that were wrapped; who speaks is in that of what is said."""
    shape = Shape.of(texts)
    command, speaks = COMMAND.match(texts[0]), len(run) > 1 and SPEAKER.fullmatch(texts[0])
    found, begin = [], 0
    for i in range(1, len(run) + 1):
        wraps = (
            i < len(run) and shape.wraps(texts[i - 1], texts[i]) and (kind != "paragraph" or not shape.lists_in(run, begin, i))
        )
        if not wraps and not (i == 1 and speaks):
            own = kind if begin == 0 or kind == "quote" else "paragraph"
            found.append(_block(run[begin:i], "code" if command and not begin else own))
            begin = i
    return found


def _block(lines: Sequence[Line], kind: Kind, quotable: bool = True) -> Block:
    first = lines[0]
    start = len(first.quoted)
    start += len(first.text[start:]) - len(first.text[start:].lstrip())
    return Block(first.start + start, lines[-1].start + len(lines[-1].text.rstrip()), kind, quotable)


def _with_titles(text: str, blocks: list[Block]) -> list[Block]:
    """Lines alone without a stop are headings: one or two above text that has stops. More of them are a list of facts."""
    found = list(blocks)
    for alike, places in itertools.groupby(range(len(blocks)), lambda i: _is_alone(text, blocks, i)):
        run = list(places)
        above_text = run[-1] + 1 < len(blocks) and blocks[run[-1] + 1].kind != "heading"
        before = text[blocks[run[0] - 1].start : blocks[run[0] - 1].end] if run[0] else ""
        titles = [text[blocks[i].start : blocks[i].end] for i in run]
        if (
            alike
            and len(run) < 3
            and above_text
            and not ASKS.search(before)
            and not any(_is_fact(t) or _VERB.search(t) for t in titles)
        ):
            found[run[0] : run[-1] + 1] = [blocks[i]._replace(kind="heading", quotable=False) for i in run]
    return found


def _is_fact(line: str) -> bool:
    """Whether a line without a stop says something of something."""
    number = _TITLE_NUMBER.match(line)
    return bool(_FACT.search(line, number.end() if number else 0))


def _is_alone(text: str, blocks: list[Block], i: int) -> bool:
    """Whether a block is a line between blank ones that has no stop and is no item of a list."""
    start, end, kind, _ = blocks[i]
    last, after = text[blocks[i - 1].end if i else 0 : start], text[end : blocks[i + 1].start if i + 1 < len(blocks) else None]
    parted = (not i or is_blank(last)) and (i + 1 == len(blocks) or is_blank(after))
    listed = kind == "item" and "item" in [block.kind for block in blocks[max(i - 1, 0) : i] + blocks[i + 1 : i + 2]]
    return parted and not listed and kind in ("paragraph", "item") and bool(_TITLE.match(text[start:end]))
