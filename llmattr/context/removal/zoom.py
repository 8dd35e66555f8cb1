"""The words of one source as sources of their own."""

import dataclasses

import numpy as np

from llmattr.errors import LlmattrError
from llmattr.text import split
from llmattr.text.prompt import Prompt


def words_of(prompt: Prompt, source: int) -> Prompt:
    """The same prompt, in which only the words of one source can be removed; everything else always stays."""
    sources = prompt.sources
    assert sources.spans is not None
    assert sources.groups is not None  # sources cut from documents have both
    words = split.spans(sources.texts[source], split.words)
    if len(words) < 2:
        raise LlmattrError(f"source {sources.ids[source]!r} has no words to zoom into: {sources.texts[source]!r:.60}")
    inside = dataclasses.replace(
        sources,
        kind="words",
        ids=[f"{sources.ids[source]}/{k}" for k in range(len(words))],
        texts=[sources.texts[source][a:b] for a, b in words],
        spans=words + sources.spans[source, 0],
        groups=np.repeat(sources.groups[source], len(words)),
        blocks=None,
        quotable=None,
    )
    return dataclasses.replace(prompt, sources=inside)
