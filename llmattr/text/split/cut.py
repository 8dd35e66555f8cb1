"""Cut a text into sources: structure first, sentences second."""

import bisect
import itertools
from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import NamedTuple

import numpy as np
import regex
from jaxtyping import Bool, Int

from llmattr.errors import LlmattrError, did_you_mean
from llmattr.text.split.blocks import PROSE, Block, Kind, says_something, seen, shifted, trimmed
from llmattr.text.split.formats import find_format
from llmattr.text.split.languages import language_of, script_of
from llmattr.text.split.parts import Splitter, documents, paragraphs, spans, words
from llmattr.text.split.sentences import sentence_spans
from llmattr.text.split.talk import is_talk

_HALF = regex.compile(r"[\ud800-\udfff]")
_CUTTERS = {"answer": "markdown:answer", "json": "tree:blocks", "table": "tables:blocks"}  # others have their format's name
_READ_AS = {"latex": str.maketrans("`'~", "‘’\u00a0")}  # characters that are others to who reads a format
_BEGINNING = 80  # characters of a block that tell its script


class Cut(NamedTuple):
    """The sources of a text: their characters [n, 2], in order and apart; what each is; whether a reader would point at it."""

    spans: Int[np.ndarray, "n 2"]
    blocks: tuple[Kind, ...]
    quotable: Bool[np.ndarray, " n"]


def cut(
    text: object,
    kind: str = "sentences",
    format: object = None,
    language: str | None = None,
    known: Sequence[tuple[int, int, Kind]] = (),
) -> Cut:
    """The sources of a kind (documents, paragraphs, sentences, words) in a text, each with a letter or a digit in it.

    `format`: how the text is built, a name of `FORMATS` or the ending of a file; None: as it looks. `language`: its ISO 639-1
    code; None: as it reads. `known`: stretches whose kind is known (`Document.blocks`), each on lines of its own. What lies
    between the sources is white space, rules, fences, tags: with it they are the text.
    """
    find_splitter(kind)
    if not isinstance(text, str):
        raise LlmattrError(f"what is cut must be text, not {text!r:.60}")
    text = _HALF.sub("\ufffd", text)  # half a surrogate is no character to any reader, and as long as one
    name = find_format(text, format)
    blocks = _with_known(_blocks(text, name), text, known) if text.strip() else []
    if kind == "sentences":
        blocks = _sentences(text.translate(_READ_AS.get(name, {})), blocks, language)
        blocks = _without_talk(text, blocks) if name == "answer" else blocks
    elif kind == "words":
        blocks = [block for whole in blocks for block in _inside(whole, spans(text[whole.start : whole.end], words))]
    elif kind == "documents" or name == "plain":
        blocks = _around(spans(text, SPLITTERS[kind]), blocks)
    marked = name in ("markdown", "answer", "html")
    found = [trimmed(block, text) for block in blocks if _is_read(block, text[block.start : block.end], marked)]
    where = np.array([block[:2] for block in found], dtype=int).reshape(-1, 2)
    return Cut(where, tuple(block.kind for block in found), np.array([block.quotable for block in found], dtype=bool))


def _blocks(text: str, name: str) -> list[Block]:
    """The blocks of a text, by the file of its format, which is imported where a text is built so."""
    cutter: Callable[[str], list[Block]] = resolve_name(f"{__package__}.{_CUTTERS.get(name, f'{name}:blocks')}")
    return cutter(text)


def _with_known(blocks: list[Block], text: str, known: Sequence[tuple[int, int, Kind]]) -> list[Block]:
    """The blocks with those of the known stretches in the place of what was found there; of them code alone can be quoted."""
    starts = [start for start, _, _ in known]
    inside = [bisect.bisect_right(starts, block.start) - 1 for block in blocks]
    found = [block for block, k in zip(blocks, inside, strict=True) if k < 0 or block.start >= known[k][1]]
    for start, end, kind in known:
        found += shifted(_blocks(text[start:end], "code"), start) if kind == "code" else [Block(start, end, kind, False)]
    return sorted(found)


def _sentences(text: str, blocks: list[Block], language: str | None) -> list[Block]:
    """Each sentence of paragraphs, items and quotations; every other block as one."""
    of_all, script = language or language_of(text), script_of(text)
    found: list[Block] = []
    for block in blocks:
        if block.kind not in PROSE:
            found.append(block)
            continue
        part = text[block.start : block.end]
        alike = language or (script == "Latin" and part.isascii()) or script_of(part[:_BEGINNING]) in (script, None)
        found += _inside(block, sentence_spans(part, of_all if alike else language_of(part)))
    return found


def _without_talk(text: str, blocks: list[Block]) -> list[Block]:
    """The sentences of an answer; those that claim nothing are none to point at."""
    return [b._replace(quotable=b.quotable and not (b.kind in PROSE and is_talk(text[b.start : b.end]))) for b in blocks]


def _is_read(block: Block, said: str, marked: bool) -> bool:
    """Whether there is something to read in it, tags and names of characters aside where the text is `marked` up."""
    return says_something(seen(said) if marked and block.kind != "code" else said)


def _inside(block: Block, parts: "list[tuple[int, int]] | Int[np.ndarray, 'n 2']") -> list[Block]:
    """The parts of a block as blocks of its kind."""
    return [block._replace(start=block.start + int(a), end=block.start + int(b)) for a, b in parts]


def _around(stretches: Int[np.ndarray, "n 2"], blocks: list[Block]) -> list[Block]:
    """Stretches of several blocks as one each: one can be quoted where a block of it can."""
    starts = [block.start for block in blocks]
    found: list[Block] = []
    for start, end in stretches.tolist():
        inner = blocks[bisect.bisect_left(starts, start) : bisect.bisect_left(starts, end)]
        kinds = {block.kind for block in inner}
        found.append(Block(start, end, inner[0].kind if len(kinds) == 1 else "paragraph", any(b.quotable for b in inner)))
    return found


def sentences(text: str) -> list[str]:
    """Sentences and whatever else `cut` finds, with the white space behind them; rules and tags between them are parts too.

    What stands on the line right before a sentence (`> `) is part of it.
    """
    ends = sorted({0, len(text), *(int(place) for place in cut(text).spans.ravel())})
    parts: list[str] = []
    before = ""  # marks of a quotation
    for start, end in itertools.pairwise(ends):
        part = before + text[start:end]
        said = part.lstrip() if parts else part
        if parts:
            parts[-1] += part[: len(part) - len(said)]
        before = said if said.strip() == ">" * len(said.strip()) and end < len(text) and said == said.rstrip("\r\n") else ""
        parts += [said] if said and not before else []
    return parts


SPLITTERS: dict[str, Splitter] = {
    "documents": documents,
    "paragraphs": paragraphs,
    "sentences": sentences,
    "words": words,
}


def find_splitter(sources: str | Splitter) -> tuple[str, Splitter]:
    """The name and the function of a kind of source; a function of the user's own is called by its name."""
    if callable(sources):
        from llmattr.ablation import name_of  # with NumPy's random numbers, which cutting does not need

        return name_of(sources), sources
    if not isinstance(sources, str) or sources not in SPLITTERS:
        known = ", ".join(SPLITTERS)
        raise LlmattrError(f"unknown sources {sources!r}{did_you_mean(str(sources), SPLITTERS)} (there are: {known})")
    return sources, SPLITTERS[sources]
