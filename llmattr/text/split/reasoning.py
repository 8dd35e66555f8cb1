"""The reasoning of a model before its answer, by the marks that the families of models write around it."""

from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

import regex

MARKS = {  # what opens a reasoning, and what ends it
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<reflection>": "</reflection>",
    "<scratchpad>": "</scratchpad>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|channel|>analysis": "<|channel|>final",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # `str.lower` may change how long a text is
_ENDS = {opening.translate(_LOWER): ending.translate(_LOWER) for opening, ending in MARKS.items()}
# A mark that is meant, and not named in passing, begins a line or stands behind a stop; one that ends may end a line, too,
# where no space parts it from what it ends.
_BEGINS = r"(?:^|(?<=[.!?…。！？]))[ \t]*+"
_OPENING = regex.compile(rf"{_BEGINS}(?:<\|start\|>assistant)?\K(?:{'|'.join(map(regex.escape, _ENDS))})", regex.M)
_ENDING = "|".join([*map(regex.escape, _ENDS.values()), "assistantfinal"])  # the last as it reads without special tokens
_UNOPENED = regex.compile(rf"{_BEGINS}\K(?:{_ENDING})|(?<=\S)(?:{_ENDING})(?=[ \t]*$)", regex.M)
_FINAL = regex.compile(r"^[ \t]*(?:\*\*)?final answer(?:\*\*)?:(?:\*\*)?", regex.M)  # of ReAct, behind its thoughts
_THOUGHT = regex.compile(r"\s*(?:\*\*)?(?:thought|\Z)")
_CODE = regex.compile(r"^ {0,3}(```++|~~~++)[^\n]*\n(?:.*?^ {0,3}\1|.*)|`[^`\n]+`", regex.M | regex.S)
_ANSWER = regex.compile(r"\s*(?:<answer>|<\|message\|>|<\|begin_of_solution\|>|<\|START_RESPONSE\|>)", regex.I)
_ANSWERED = regex.compile(r"(?:</answer>|<\|return\|>|<\|end_of_solution\|>|<\|END_RESPONSE\|>)\s*\Z", regex.I)


class Part(NamedTuple):
    """Characters `start` to `end` of a text, without the marks around them, and whether they are reasoning."""

    start: int
    end: int
    is_reasoning: bool


def parts(text: str) -> Iterator[Part]:
    """Reasoning and answer in turn.

    A text may begin inside a reasoning, since many templates open it, and one that it begins with may have no end. Marks that
    are named in passing, within a sentence or in code, are text. What ReAct's agents write is a "Thought:" up to their "Final
    Answer:" (Yao et al. 2022, arXiv 2210.03629).
    """
    lower = text.translate(_LOWER)
    veiled = _CODE.sub(lambda code: " " * len(code[0]), lower)
    begin = _answer(text, 0)
    opening, ending = _OPENING.search(veiled), _UNOPENED.search(veiled)
    final = _FINAL.search(veiled)
    if final and _THOUGHT.match(veiled[: final.start()]):
        ending, opening = final, None
    if ending and not (opening and opening.start() < ending.start()):
        yield Part(0, ending.start(), is_reasoning=True)
        begin = _answer(text, ending.end())
    while opening := _OPENING.search(veiled, begin):
        ends = _ENDS[opening[0]]
        end = veiled.find(ends, opening.end())
        end = lower.find(ends, opening.end()) if end < 0 else end  # behind code that has no end
        end = _outermost(veiled, opening, ends, end)
        if end < 0 and text[: opening.start()].strip():
            break
        yield Part(begin, opening.start(), is_reasoning=False)
        yield Part(opening.end(), end if end >= 0 else len(text), is_reasoning=True)
        begin = _answer(text, end + len(ends)) if end >= 0 else len(text)
    ended = _ANSWERED.search(text, begin) if begin else None
    yield Part(begin, ended.start() if ended else len(text), is_reasoning=False)


def _outermost(text: str, opening: regex.Match[str], ends: str, end: int) -> int:
    """Where the reasoning ends that another one is inside of: at the first end, where there is no other."""
    last = end
    place = opening.end()
    while last >= 0 and (place := text.find(opening[0], place, last)) >= 0:
        place += len(opening[0])
        end, last = last, text.find(ends, last + len(ends))
    return last if last >= 0 else end


def _answer(text: str, end: int) -> int:
    """Where the answer begins behind a reasoning's end."""
    marks = _ANSWER.match(text, end)
    return marks.end() if marks else end


def has_reasoning(text: str) -> bool:
    """Whether a part of it is reasoning."""
    return any(part.is_reasoning for part in parts(text))


def ending_of(prompt: str, response: str) -> str:
    """What ends the reasoning that a prompt opens at its end, unless the response does so itself."""
    for opening, ending in MARKS.items():
        if prompt.rstrip().endswith(opening) and ending not in response:
            lines = len(prompt) - len(prompt.rstrip("\n"))
            return "\n" * max(2 - lines, 0) + ending + "\n\n"
    return ""


def said_in(text: str, thinks: bool = False) -> list[tuple[int, int]]:
    """The characters of what is said in a text, or of what is thought, without white space around them.

    >>> said_in("<think>So.</think> Yes."), said_in("<think>So.</think> Yes.", thinks=True)
    ([(19, 23)], [(7, 10)])
    """
    found = []
    for start, end, is_reasoning in parts(text):
        said = text[start:end]
        if is_reasoning == thinks and said.strip():
            found.append((start + len(said) - len(said.lstrip()), start + len(said.rstrip())))
    return found


def without_opening(prompt: str, response: str) -> str:
    """The response without the mark that opens its reasoning, where the prompt has opened it at its end."""
    for opening in MARKS:
        if prompt.rstrip().endswith(opening) and response.lstrip().startswith(opening):
            return response.lstrip().removeprefix(opening).lstrip("\n")
    return response
