"""Lines that were broken by hand (`<br>`, two spaces, a backslash): each for itself, but where a sentence goes on."""

from collections.abc import Sequence

import regex

from llmattr.text.split.blocks import SENTENCE_END, Block, seen
from llmattr.text.split.wrapping import is_open

_BREAK = regex.compile(r"(?:\s*<br\b[^<>]*>|\\| {2,}(?=[\r\n]))[\s>]*")


def rejoined(blocks: Sequence[Block], text: str) -> list[Block]:
    """The blocks, those as one that breaks alone part and that say one sentence: from no small letter to a stop."""
    found: list[Block] = []
    run: list[Block] = []
    for block in blocks:
        if run and not _goes_on(run[-1], block, text):
            found += _whole(run, text)
            run = []
        run.append(block)
    return found + _whole(run, text)


def _goes_on(block: Block, after: Block, text: str) -> bool:
    alike = block.kind == after.kind and block.quotable and after.quotable
    return (
        alike
        and bool(_BREAK.fullmatch(text, block.end, after.start))
        and is_open(seen(text[block.start : block.end]), seen(text[after.start : after.end]))
    )


def _whole(run: Sequence[Block], text: str) -> list[Block]:
    if len(run) < 2:
        return list(run)
    begins = seen(text[run[0].start : run[0].end])[:1]
    whole = not begins.islower() and SENTENCE_END.search(seen(text[run[-1].start : run[-1].end]))
    return [run[0]._replace(end=run[-1].end)] if whole else list(run)
