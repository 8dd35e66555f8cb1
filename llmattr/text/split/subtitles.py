"""Subtitles (SRT, WebVTT): a cue's text is a source; numbers, times, notes and styles are none, and sounds are furniture."""

import regex

from llmattr.text.split.blocks import SENTENCE_END, Block, Line, newlines_of, runs
from llmattr.text.split.formats import CUE

_OPENING = regex.compile(r"\s*<(?:v\b[^<>]*|[\d:.]+)>\s*")  # who says it, and when
_AROUND = regex.compile(r"\s*<([a-z])[\w.]*(?:\s[^<>]*)?>(.*?)(?:</\1>)?\s*", regex.S)  # a tag that all of it stands in
_SOUND = regex.compile(r"(?:\[[^][]*\]|\([^()]*\)|[♪♫*#\s]++)++")
_GOES_ON = regex.compile(r"\s*(?:\.\.\.?|…|\p{Ll})")
_LONG = 400  # characters of a sentence, times between its cues aside
_STOPPED = 0.25  # of the cues: where fewer end with a stop, none is set


def blocks(text: str) -> list[Block]:
    """One block a cue, or for the cues that a sentence runs over."""
    cues = [block for run in runs(newlines_of(text)) for block in _cue(text, run)]
    stopped = sum(bool(SENTENCE_END.search(text[cue.start : cue.end])) for cue in cues) >= _STOPPED * len(cues)
    found: list[Block] = []
    said = 0
    for cue in cues:
        length = cue.end - cue.start
        if stopped and found and said + length < _LONG and _continues(text, found[-1], cue):
            found[-1], said = found[-1]._replace(end=cue.end), said + length
        else:
            found.append(cue)
            said = length
    return found


def _cue(text: str, run: list[Line]) -> list[Block]:
    """What is said in the lines of a cue, without the tags around it; nothing where they are none."""
    lines = next((run[k + 1 :] for k, line in enumerate(run[:2]) if CUE.match(line.text)), [])
    if not lines:
        return []
    start, end = lines[0].start, lines[-1].end
    while opening := _OPENING.match(text, start, end):
        start = opening.end()
    end = start + len(text[start:end].rstrip().removesuffix("</v>").rstrip())
    while (around := _AROUND.fullmatch(text, start, end)) and f"</{around[1]}>" not in around[2]:
        start, end = around.span(2)
    sound = _SOUND.fullmatch(text, start, end)
    return [Block(start, end, "furniture" if sound else "row", not sound)]


def _continues(text: str, before: Block, cue: Block) -> bool:
    """Whether a sentence that has not ended goes on in the next cue."""
    goes_on = _GOES_ON.match(text, cue.start, cue.end)
    open_ = not SENTENCE_END.search(text[before.start : before.end]) or (goes_on and not goes_on[0].strip().isalpha())
    return before.quotable and cue.quotable and bool(goes_on and open_)
