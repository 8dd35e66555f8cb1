"""The words or sentences of one source as sources of their own."""

import dataclasses
from typing import get_args

import numpy as np

from llmattr.core.sources import Part
from llmattr.errors import LlmattrError, check_choice
from llmattr.text import split
from llmattr.text.prompt import Prompt


def parts_of(prompt: Prompt, source: int, into: Part = "words") -> Prompt:
    """The same prompt, in which only the words or sentences of one source can be removed; everything else always stays."""
    check_choice("into", into, get_args(Part))
    sources = prompt.sources
    assert sources.spans is not None
    assert sources.groups is not None  # sources cut from documents have both
    text, document = sources.texts[source], sources.documents[sources.groups[source]]
    cut = split.cut(text, into, document.format, document.language) if into == "sentences" else None
    spans = split.spans(text, split.words) if cut is None else cut.spans
    if len(spans) < 2:
        raise LlmattrError(f"source {sources.ids[source]!r} has no {into} to zoom into: {text!r:.60}")
    inside = dataclasses.replace(
        sources,
        kind=into,
        ids=[f"{sources.ids[source]}/{k}" for k in range(len(spans))],
        texts=[text[a:b] for a, b in spans],
        spans=spans + sources.spans[source, 0],
        groups=np.repeat(sources.groups[source], len(spans)),
        blocks=None if cut is None else list(cut.blocks),
        quotable=None if cut is None else cut.quotable,
    )
    return dataclasses.replace(prompt, sources=inside)
