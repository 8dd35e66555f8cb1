"""Cut a text into parts, losing nothing: structure first, sentences second; with what lies between, the parts are the text."""

from llmattr.text.split.cut import SPLITTERS, Cut, cut, find_splitter, sentences
from llmattr.text.split.formats import FORMATS
from llmattr.text.split.parts import Splitter, documents, paragraphs, spans, words

__all__ = [
    "FORMATS",
    "SPLITTERS",
    "Cut",
    "Splitter",
    "cut",
    "documents",
    "find_splitter",
    "paragraphs",
    "sentences",
    "spans",
    "words",
]
