"""Subtitles (SRT, WebVTT): a cue's text is a source; numbers, times, notes and styles are none."""

import regex

from llmattr.text.split.blocks import Block, newlines_of, runs
from llmattr.text.split.formats import CUE

_OPENING = regex.compile(r"^\s*(?:<v\b[^<>]*>)?\s*")  # who says it


def blocks(text: str) -> list[Block]:
    """One block a cue."""
    found = []
    for run in runs(newlines_of(text)):
        said = next((run[k + 1 :] for k, line in enumerate(run[:2]) if CUE.match(line.text)), [])
        if said:
            start = said[0].end - len(_OPENING.sub("", said[0].text))
            found.append(Block(start, said[-1].start + len(said[-1].text.rstrip().removesuffix("</v>").rstrip()), "row"))
    return found
