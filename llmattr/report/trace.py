"""What the page of a trace shows: each query with its prompt, and the training rows for and against it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.report.marks import cut
from llmattr.report.quality import fit_quality
from llmattr.report.quotes import Spans, marks, measured, outermost, quoted, reading, spans_of
from llmattr.report.words import Mark, Passage, Piece, common_words, passage, shared, strengths
from llmattr.retrieval.verbatim import QUOTES

LISTED = 10  # rows listed on each side of one query, at most
NEAR = (300, 400, 150)  # characters shown of what stands before, in and after the traced text, at most
GLYPHS = str.maketrans({"\n": "⏎", "\t": "⇥", " ": "␣"})  # what a token of white space is shown as


@dataclass(frozen=True)
class Query:
    """What was traced, `said`, amid its text: a completion after its prompt, or one token of a response."""

    before: str
    said: str
    after: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return self.before + self.said + self.after

    @property
    def start(self) -> str:
        """What stands before, without its beginning when it is long: enough to name the query in a list."""
        apart = self.before[-1:].isspace() or self.said[:1].isspace()
        return _end(" ".join(self.before.split()) + " " * apart, 60) if self.before else ""

    @property
    def name(self) -> str:
        """What was said, on one line."""
        return " ".join(self.said.split()) or self.said.translate(GLYPHS)


@dataclass(frozen=True)
class Row:
    """A training row in the list of a target. `percent`: its score relative to the target's largest, without the sign."""

    rank: int
    score: Score
    percent: int
    passage: Passage


@dataclass(frozen=True)
class Side:
    """The rows for a target, or those against it, strongest first, and how many more there are."""

    sign: str
    rows: list[Row]
    more: int


@dataclass(frozen=True)
class Target:
    """A choice: the query and its rows; what of it stands in them word for word, where that is known."""

    number: int
    query: Query
    passage: Passage
    sides: list[Side]
    reading: str
    quotes: list[tuple[str, str]]


def query_of(a: Attribution, t: int) -> Query:
    """Target `t` with what stands around it: from what a trace was `asked`, and from the response that it is a part of."""
    asked, text = (a.asked if a.traced else None) or [], a.targets.texts[t]
    if a.response is not None and a.targets.spans is not None:
        start, end = map(int, a.targets.spans[t])
        before = _before(asked[0], a.response) if asked else ""
        return Query(before + a.response[:start], a.response[start:end], a.response[end:])
    if len(asked) != len(a):
        return Query("", text)
    if asked[t]["completion"] == text:
        return Query(asked[t]["prompt"], text)
    first = t  # one of the tokens of this query, which are targets in their order
    while first and asked[first - 1] == asked[t]:
        first -= 1
    before = "".join(a.targets.texts[first:t])
    whole = asked[t]["completion"]
    return Query(asked[t]["prompt"] + before, text, whole[len(before + text) :] if whole.startswith(before + text) else "")


def _before(query: Mapping[str, str], response: str) -> str:
    """What stands before the response: the prompt, and the start of the completion when no score counts it."""
    text = query["prompt"] + query["completion"]
    if text.endswith(response):
        return text.removesuffix(response)
    return "" if response.startswith(query["prompt"]) else query["prompt"]


def trace_view(a: Attribution) -> dict[str, Any]:
    """Everything that the template shows."""
    rows, answer, listed = sentence_rows(a), [], list(range(len(a)))
    if a.targets.spans is not None and a.response is not None:
        answer, listed = cut(a.response, rows, a.targets.spans)
    queries = [query_of(a, t) for t in range(len(a))]
    sides = [_sides(a[t]) for t in range(len(a))]
    shown = {score.source for both in sides for side in both.values() for score in side[:LISTED]}
    common = common_words(a.sources.texts[i] for i in shown)
    marking = a.asked is not None  # where nothing was asked, the targets' texts are only names
    return {
        "a": a,
        "whole": rows.start == 1,
        "first": rows.start,
        "targets": [_target(a, t, query, sides[t], _marks(a, t, query, common)) for t, query in enumerate(queries)],
        "marking": marking,
        "quoting": QUOTES in a.details,
        "tokens": bool(answer) or any(query.after for query in queries),
        "prompt": _end(queries[0].text.removesuffix(a.response or ""), NEAR[0]),
        "answer": [(*(("", text, "") if t is None else _edges(text)), t) for text, t in answer],
        "listed": listed,
        "rows_shown": len(shown),
        "fit_quality": fit_quality(a),
    }


def _sides(one: Attribution) -> dict[str, list[Score]]:
    scores = one.top(None)
    return {"for": [s for s in scores if s.score > 0], "against": [s for s in scores[::-1] if s.score < 0]}


def _marks(a: Attribution, t: int, query: Query, common: frozenset[str]) -> Callable[[Score], list[Mark]]:
    """What is marked in a row: what stands in it word for word, or the words it shares; nothing where nothing was asked."""
    spans = spans_of(a, t)
    if spans is not None:
        return lambda score: marks(spans, score.id)
    said = (len(query.before), len(query.before) + len(query.said))
    wanted = {} if a.asked is None else strengths(query.text, said, common)
    return lambda score: shared(score.text, wanted)


def _target(
    a: Attribution, number: int, query: Query, sides: dict[str, list[Score]], found: Callable[[Score], list[Mark]]
) -> Target:
    peak = max((abs(side[0].score) for side in sides.values() if side), default=1.0)

    def row(rank: int, score: Score) -> Row:
        return Row(rank, score, round(100 * abs(score.score) / peak), passage(score.text, found(score)))

    ranked = {sign: [row(rank, score) for rank, score in enumerate(side[:LISTED], 1)] for sign, side in sides.items()}
    both = [Side(sign, rows, len(sides[sign]) - len(rows)) for sign, rows in ranked.items()]
    spans = spans_of(a, number)
    quotes = [(span["text"], measured(span)) for span in outermost(spans or [])]
    read = "" if spans is None else reading(a, number)
    return Target(number, query, _passage(query, outermost(spans or [])), both, read[:1].upper() + read[1:], quotes)


def _passage(query: Query, spans: Spans) -> Passage:
    """The query as it is shown above its rows: of a long one what is near; marked what of it stands in rows word for word."""
    start, said, end = _edges(query.said)
    before, after = query.before + start, end + query.after
    near = [
        (_end(before, NEAR[0]), "before"),
        *quoted(_beginning(said, NEAR[1]), len(start), spans),
        (_beginning(after, NEAR[2]), "before"),
    ]
    whole = [(before, "before"), *quoted(said, len(start), spans), (after, "before")]
    return Passage(_full(near), _full(whole) if near != whole else [], len(query.text))


def _full(pieces: Iterable[Piece]) -> list[Piece]:
    return [piece for piece in pieces if piece[0]]


def _end(text: str, most: int) -> str:
    """The last characters of a text, from a word's start when that is near."""
    kept = text[-most:]
    return text if len(text) <= most else f"… {kept[kept.find(' ', 0, 25) + 1 :]}"


def _beginning(text: str, most: int) -> str:
    kept = text[:most]
    stop = kept.rfind(" ", most - 25)
    return text if len(text) <= most else f"{kept[: stop if stop > 0 else most]} …"


def _edges(text: str) -> tuple[str, str, str]:
    """The white space before a token, the token, and that after it; of white space alone, glyphs and its line breaks."""
    inner = text.strip()
    if not inner:
        return "", text.translate(GLYPHS), text if "\n" in text else ""
    start = text.index(inner)
    return text[:start], inner, text[start + len(inner) :]
