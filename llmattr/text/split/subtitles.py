"""Subtitles (SRT, WebVTT): a cue's text is a source; numbers, times, notes and styles are none."""

import regex

from llmattr.text.split.blocks import Block, newlines_of, runs

_TIME = regex.compile(r"\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{3}\s+-->\s")
_OPENING = regex.compile(r"^\s*(?:<v\b[^<>]*>)?\s*")  # who says it


def blocks(text: str) -> list[Block]:
    """One block a cue."""
    found = []
    for run in runs(newlines_of(text)):
        said = next((run[k + 1 :] for k, line in enumerate(run[:2]) if _TIME.match(line.text)), [])
        if said:
            start = said[0].end - len(_OPENING.sub("", said[0].text))
            found.append(Block(start, said[-1].start + len(said[-1].text.rstrip().removesuffix("</v>").rstrip()), "row"))
    return found


def are_subtitles(text: str) -> bool:
    """Whether a text begins with a cue, or as WebVTT."""
    lines = [line.text for line in newlines_of(text[:2000]) if line.text.strip()]
    return text.startswith("WEBVTT") or any(_TIME.match(line) for line in lines[:2])
