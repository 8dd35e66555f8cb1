"""What stands word for word in training rows, as reports show it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from llmattr.core.attribution import Attribution
from llmattr.report.lines import one_line
from llmattr.report.words import WHOLE, Mark, Piece
from llmattr.retrieval.copied import Copied
from llmattr.retrieval.verbatim import QUOTES

Spans = Sequence[Mapping[str, Any]]  # as `details` have them


def spans_of(a: Attribution, t: int) -> Spans | None:
    """The spans of a target; None of a result that tells nothing of them."""
    return a.details[QUOTES][t]["spans"] if QUOTES in a.details else None


def outermost(spans: Spans) -> Spans:
    """Those that are part of no other."""
    return [span for span in spans if span["outermost"]]


def reading(a: Attribution, t: int) -> str:
    """What there is of a target, beside what chance would give."""
    quoted = a.details[QUOTES][t]
    if not quoted["words"]:
        return "it has no words that could be looked for"
    words = max(1, round(quoted["by_chance"]))
    chance = f"by chance its longest span would have {words} word{'s' * (words > 1)}"
    if not quoted["spans"]:
        return f"nothing of it stands word for word in the rows but what chance gives ({chance})"
    return f"word for word in the rows ({chance})"


def measured(span: Mapping[str, Any]) -> str:
    """How long and rare a span is, and where it stands."""
    rows = f"{span['rows']:,} row{'s' * (span['rows'] > 1)}"
    where = f"in {rows}" if span["count"] == span["rows"] else f"{span['count']:,} times in {rows}"
    return f"{span['words']} words, {span['rarity']:.0f} nats, {where}" if span["words"] > 1 else f"1 word, {where}"


def copies(copied: Copied, top: int) -> list[str]:
    """What of a sentence is copied from where, `top` spans of each, in words; nothing where nothing is."""
    told = []
    for source, spans in (("the context", copied.context), ("training rows", copied.training or ())):
        texts = [f"“{one_line(span['text'])}”{_in_rows(span) * (source != 'the context')}" for span in spans[:top]]
        told += [f"word for word in {source}: {', '.join(texts)}"] if texts else []
    return told


def _in_rows(span: Mapping[str, Any]) -> str:
    rows, more = span["rows"][:3], " ..." * (len(span["rows"]) > 3)
    return f" (row{'s' * (len(rows) > 1)} {', '.join(map(str, rows))}{more})"


def lines(a: Attribution, t: int) -> list[str]:
    """A target's spans in the terminal, the rarest first; nothing of a result without any."""
    spans = spans_of(a, t)
    if spans is None:
        return []
    return [
        f"  {reading(a, t)}{':' * bool(spans)}",
        *(f"    “{one_line(span['text'])}” {measured(span)}" for span in outermost(spans)),
    ]


def marks(spans: Spans, row: str) -> list[Mark]:
    """Where they stand in a row."""
    here = [(place["start"], place["end"], span["text"], 2) for span in spans for place in span["places"] if place["id"] == row]
    return sorted(mark for mark in here if mark[0] < WHOLE)


def quoted(said: str, first: int, spans: Spans) -> list[Piece]:
    """What was said from character `first` on, cut where a span begins or ends."""
    inside = [(max(0, span["start"] - first), min(len(said), span["end"] - first)) for span in spans]
    edges = sorted({0, len(said), *(edge for start, end in inside if start < end for edge in (start, end))})
    pairs = itertools.pairwise(edges)
    return [(said[a:b], "said quoted" if any(start <= a and b <= end for start, end in inside) else "said") for a, b in pairs]
