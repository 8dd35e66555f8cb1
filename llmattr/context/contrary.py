"""A document that has a sentence's words and says the contrary contradicts it, whatever else holds."""

from dataclasses import replace

from llmattr.context.standing import Support
from llmattr.core.sources import Sources
from llmattr.text.contrary import contrary


def beside(parts: Sources, sentence: str, start: int, support: Support, language: str) -> Support:
    """What a document does for a sentence that begins at `start` of the answer: one that says the contrary contradicts it."""
    if not support.holds:
        return support
    assert parts.groups is not None  # sources cut from documents have them
    found = contrary(sentence, parts.texts, parts.groups == support.document, language)
    if found is None:
        return support
    told = (start + found.start, start + found.end)
    return replace(support, verdict="contradicted", because=found.because, contrary=told)
