"""The sentences of an answer that no document supports, and what a repair does with them."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from llmattr.context.standing import CheckedMarker, Sentence, by_sentence
from llmattr.errors import check_choice
from llmattr.text.shapes.marked import begins_line

Unsupported = Literal["keep", "mark", "drop"]
Done = Literal["unmarked", "marked", "removed"]
UNSUPPORTED: dict[Unsupported, Done] = {"keep": "unmarked", "mark": "marked", "drop": "removed"}
NEEDED = "[citation needed]"
_ENDED = re.compile(r"[.!?。！？…:：|][\"'”’»」』*_)\]]*\s*\Z|\n\s*\Z|\A\s*\Z")  # what stands before a sentence


def made_up(answer: str, sentences: Sequence[Sentence], markers: Sequence[CheckedMarker], how: Unsupported) -> dict[int, Done]:
    """The sentences that nothing supports and behind which no mark holds, and what is done with each.

    A part of a sentence is not removed: the rest would have a hole.
    """
    check_choice("how", how, tuple(UNSUPPORTED))
    marked = by_sentence(markers)
    lacking = [t for t, one in enumerate(sentences) if one.verdict not in ("context", "refusal")]
    lacking = [t for t in lacking if not any(one.holds for one in marked.get(t, []))]
    return {t: "unmarked" if how == "drop" and not _is_whole(answer, sentences[t]) else UNSUPPORTED[how] for t in lacking}


def _is_whole(answer: str, sentence: Sentence) -> bool:
    """Whether it is no part of a longer sentence."""
    ends = (sentence.start, sentence.end)
    return all(_ENDED.search(answer, 0, place) or answer[place : place + 1] in ("", "\n") for place in ends)


def with_its_space(answer: str, sentence: Sentence) -> tuple[int, int]:
    """The characters of a sentence with the white space behind it, and with its line where it has that for itself."""
    start, end = sentence.start, sentence.end
    while answer.startswith((" ", "\t"), end):
        end += 1
    if answer[end : end + 1] not in ("", "\n"):
        return start, end
    if begins_line(answer, start):
        return answer.rfind("\n", 0, start) + 1, min(end + 1, len(answer))
    return len(answer[:start].rstrip(" \t")), end


def as_written(said: Sequence[str], written: str) -> Iterator[tuple[int, int]]:
    """Where these sentences, which have no marks, stand in an answer as it was written."""
    end = 0
    for text in said:
        if (start := written.find(text, end)) >= 0:
            end = start + len(text)
            yield start, end
