"""What of sentences is copied word for word: from the context, from training rows, from both or from neither."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from llmattr.retrieval.verbatim import Corpus, Quoted

Source = Literal["context", "training", "both", "neither"]
LISTED = 10  # rows named of one span, at most


@dataclass(frozen=True)
class Copied:
    """The spans of one sentence in the context and in training rows, the rarest first; None where no rows were looked through.

    A span is a dict of JSON with its text and the fields of a `Quote`, the first of its `rows` alone.
    """

    context: Sequence[Mapping[str, Any]]
    training: Sequence[Mapping[str, Any]] | None = None

    def parts(self, sentence: str) -> list[tuple[str, Source]]:
        """The sentence in pieces, each with where it is copied from.

        >>> spans = [{"start": 0, "end": 7}], [{"start": 4, "end": 11}]
        >>> Copied(*spans).parts("One two six ten")
        [('One ', 'context'), ('two', 'both'), (' six', 'training'), (' ten', 'neither')]
        """
        found = {"context": self.context, "training": self.training or ()}
        edges = {0, len(sentence), *(span[end] for spans in found.values() for span in spans for end in ("start", "end"))}
        ordered = sorted(edges)
        return [(sentence[a:b], _source(found, a, b)) for a, b in itertools.pairwise(ordered)]


def _source(found: Mapping[str, Sequence[Mapping[str, Any]]], start: int, end: int) -> Source:
    inside = [any(span["start"] <= start and end <= span["end"] for span in spans) for spans in found.values()]
    match inside:
        case [True, True]:
            return "both"
        case [True, False]:
            return "context"
        case [False, True]:
            return "training"
    return "neither"


def copied(sentences: Sequence[str], context: Sequence[str], training: Sequence[Quoted] | None) -> list[Copied]:
    """Each sentence's spans in the texts of the context; and those in training rows, which are given where they are known."""
    corpus = Corpus.of(context)
    here = [_spans(sentence, corpus.quoted(sentence)) for sentence in sentences]
    there = [None] * len(here) if training is None else list(map(_spans, sentences, training))
    return [Copied(*pair) for pair in zip(here, there, strict=True)]


def _spans(sentence: str, quoted: Quoted) -> list[dict[str, Any]]:
    known = [
        (sentence[quote.start : quote.end], quote.rows[:LISTED].tolist(), quote) for quote in quoted.quotes if quote.outermost
    ]
    return [{"text": text, **asdict(quote), "rows": rows} for text, rows, quote in known]
