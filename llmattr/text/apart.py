"""Names and numbers of a sentence that the documents have, but not with the rest of what it says."""

from collections.abc import Sequence

import numpy as np
import regex

from llmattr.core.sources import Document
from llmattr.text import split
from llmattr.text.names import Name, missing
from llmattr.text.own_words import find, own_words

NEAR = 0.4  # of what the passage has of a sentence's other words that has most of them
RUN = 8  # sentences: a page of them is not read again for each
_PRONOUN = regex.compile(
    r"\W*(?:\w+\W+){0,3}?(?:he|she|they|it|his|her|their|its|this|these)\b", regex.I
)  # among the first words


def passages(document: Document) -> tuple[list[str], list[str]]:
    """A document's sentences as an English reader takes them, and its rows, items and code, which say too little alone.

    Each sentence stands behind the title and the heading above it. One that begins with a pronoun stands behind the last that
    does not, which says whom it means, and the `RUN` before it.
    """
    found = split.cut(document.text, "sentences", document.format, document.language, document.blocks)
    heading, prose, others = "", [], []
    run: list[str] = []  # the sentences that are about the same
    for (start, end), kind in zip(found.spans.tolist(), found.blocks, strict=True):
        text = document.text[start:end]
        if kind == "heading":
            heading, run = text, []
        elif kind in ("paragraph", "quote"):
            run = [*run[:1], *run[1:][-RUN:], text] if _PRONOUN.match(text) else [text]
            prose.append(f"{document.title or ''}. {heading}. {' '.join(run)}")
        else:
            others.append(text)
    return prose, others


def apart(sentence: str, told: str, prose: Sequence[str], others: Sequence[str] = ()) -> list[Name]:
    """The names that are new beside what was `told` (the question), and that no passage with much of the rest has.

    Of the words of question and sentence but the name's own: `max_{i has the name} share_i < NEAR max_i share_i`. A name that
    stands in no passage is missing and not apart; nor is one of the `others`.

    >>> prose = ["The bridge was built by Karl Lund.", "The tunnel was dug by Ana Petrov."]
    >>> [name.start for name in apart("Ana Petrov built the bridge.", "Who built it?", prose)]
    [0]
    """
    before = f"{told}\n"
    words = own_words(before + sentence)
    found, names = find(words, prose), []
    for name in missing(sentence, [told, *others]):
        start, end = len(before) + name.start, len(before) + name.end
        own = np.array([word.start < end and word.end > start for word in words])
        has = found.has[own].all(axis=0) if own.any() else np.zeros(len(prose), dtype=bool)
        rest = found.of(~own)
        if has.any() and rest[has].max() < NEAR * rest.max():
            names.append(name)
    return names
