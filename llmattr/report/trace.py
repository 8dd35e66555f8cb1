"""What the page of a trace shows: each query with its prompt, and the training rows for and against it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.report.marks import cut
from llmattr.report.quality import fit_quality, removal_of, stands_out
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
    other: str = ""  # the answer that it is set against

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
        """What was said, on one line, and what it is set against."""
        against = f" (rather than {' '.join(self.other.split())})" if self.other else ""
        return (" ".join(self.said.split()) or self.said.translate(GLYPHS)) + against


@dataclass(frozen=True)
class Row:
    """A training row in the list of a target. `percent`: its score relative to the target's largest, without the sign.

    `known`: its own columns, as a line.
    """

    rank: int
    score: Score
    percent: int
    passage: Passage
    known: str


@dataclass(frozen=True)
class Side:
    """The rows for a target, or those against it, strongest first, and how many more there are."""

    sign: str
    rows: list[Row]
    more: int


@dataclass(frozen=True)
class Token:
    """A counted token, its `-log p` in nats, and its percentage of the query's."""

    text: str
    loss: float
    percent: int


@dataclass(frozen=True)
class Target:
    """A choice: the query and its rows; what of it stands in them word for word, where that is known."""

    number: int
    query: Query
    passage: Passage
    sides: list[Side]
    reading: str
    quotes: list[tuple[str, str]]
    tokens: list[Token]  # of which the loss is known
    removal: str
    standing: str  # whether a row stands out


def query_of(a: Attribution, t: int) -> Query:
    """Target `t` with what stands around it: from what a trace was `asked`, and from the response that it is a part of."""
    asked, text = (a.asked if a.traced else None) or [], a.targets.texts[t]
    if a.response is not None and a.targets.spans is not None:
        start, end = map(int, a.targets.spans[t])
        before, after = _around_response(asked[0], a.response) if asked else ("", "")
        return Query(before + a.response[:start], a.response[start:end], a.response[end:] + after)
    if len(asked) != len(a):
        return Query("", text)
    before, said, after = _around(asked[t])
    if said == text:
        return Query(before, text, after, asked[t].get("rather_than", ""))
    first = t  # one of the tokens of this query, which are targets in their order
    while first and asked[first - 1] == asked[t]:
        first -= 1
    earlier = "".join(a.targets.texts[first:t])
    rest = said.removeprefix(earlier + text) if said.startswith(earlier + text) else ""
    return Query(before + earlier, text, rest + after)


def _around(query: Mapping[str, str]) -> tuple[str, str, str]:
    """What is traced of a query, the completion or its span, with what stands before and after it."""
    prompt, whole = query["prompt"], query["completion"]
    span = query.get("span", whole)
    before, found, after = whole.partition(span) if span else ("", "", "")
    return (prompt + before, span, after) if found else (prompt, span, "")


def _around_response(query: Mapping[str, str], response: str) -> tuple[str, str]:
    """What stands before and after the response: the prompt, and what of the completion no score counts."""
    before, said, after = _around(query)
    if said.endswith(response):
        return before + said.removesuffix(response), after
    return ("" if response.startswith(query["prompt"]) else query["prompt"]), ""


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
        "tokens": bool(answer) or _has_tokens(a),
        "prompt": _end(queries[0].text.removesuffix(a.response or ""), NEAR[0]),
        "answer": [(*(("", text, "") if t is None else _edges(text)), t) for text, t in answer],
        "listed": listed,
        "rows_shown": len(shown),
        "fit_quality": fit_quality(a),
    }


def _has_tokens(a: Attribution) -> bool:
    """Whether targets are tokens of what was asked."""
    asked = a.asked if a.traced and a.asked and len(a.asked) == len(a) else []
    return any(_around(query)[1] != text for query, text in zip(asked, a.targets.texts, strict=False))


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
        known = ", ".join(f"{name}: {value!s:.60}" for name, value in a.sources.metadata(score.source).items())
        return Row(rank, score, round(100 * abs(score.score) / peak), passage(score.text, found(score)), known)

    ranked = {sign: [row(rank, score) for rank, score in enumerate(side[:LISTED], 1)] for sign, side in sides.items()}
    both = [Side(sign, rows, len(sides[sign]) - len(rows)) for sign, rows in ranked.items()]
    spans = spans_of(a, number)
    quotes = [(span["text"], measured(span)) for span in outermost(spans or [])]
    read = "" if spans is None else reading(a, number)
    shown = query_passage(query, outermost(spans or []))
    beside = {"tokens": _tokens(a, number), "removal": removal_of(a, number), "standing": stands_out(a, number)}
    return Target(number, query, shown, both, read, quotes, **beside)


def _tokens(a: Attribution, target: int) -> list[Token]:
    """A target's tokens with their shares of its loss; none where that is not known, and of an answer that is a single one."""
    tokens = [(str(text), float(loss)) for text, loss in a.details["loss"][target]] if "loss" in a.details else []
    whole = sum(loss for _, loss in tokens)
    return [Token(glyphs(text), loss, round(100 * loss / whole)) for text, loss in tokens] if len(tokens) > 1 and whole else []


def glyphs(text: str) -> str:
    """A token as it is read: white space alone by glyphs."""
    return text if text.strip() else text.translate(GLYPHS)


def query_passage(query: Query, spans: Spans) -> Passage:
    """The query as it is shown above its rows: of a long one what is near; marked what of it stands in rows word for word."""
    start, said, end = _edges(query.said)
    before, after = query.before + start, end + query.after
    against = [(f" (rather than {query.other})", "before")] if query.other else []
    near = [
        (_end(before, NEAR[0]), "before"),
        *quoted(_beginning(said, NEAR[1]), len(start), spans),
        (_beginning(after, NEAR[2]), "before"),
        *against,
    ]
    whole = [(before, "before"), *quoted(said, len(start), spans), (after, "before"), *against]
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
        return "", glyphs(text), text if "\n" in text else ""
    start = text.index(inner)
    return text[:start], inner, text[start + len(inner) :]
