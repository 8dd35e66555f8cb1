"""An answer with both its origins, as text for the terminal and as a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.evidence import VERDICTS, Verdict
from llmattr.origins import Origin, Origins
from llmattr.report.html import environment
from llmattr.report.lines import one_line, plain
from llmattr.report.marks import citation_numbers, cut
from llmattr.report.quotes import copies
from llmattr.report.ranking import error, summary
from llmattr.report.reference import place, titled
from llmattr.report.verdicts import COLOURS, findings, overview
from llmattr.report.words import Passage, common_words, passage, shared, strengths
from llmattr.retrieval.copied import Source
from llmattr.retrieval.verbatim import QUOTES

SHOWN = 3  # citations and training rows of one sentence, at most
READING = (
    "Support: what the whole context does for a sentence, in {unit}, by removing it.",
    "Training rows were ranked for the question and the sentence (of one from memory for its name that stands nowhere), "
    "without the context; {method} has no unit, so 100% is the sentence's best row. Some row is always the best: read it "
    "before you believe that it taught the sentence.",
)
RANKED = "Training rows are those in which the sentence's words stand one after the other; 100% is the sentence's best row."
COPIES: dict[Source, str] = {
    "context": "copied from the context",
    "training": "copied from training rows",
    "both": "in both",
    "neither": "in neither",
}


@dataclass(frozen=True)
class Cited:
    """A source of the context in a sentence's card. `percent`: its score relative to the sentence's best."""

    mark: int | None
    score: Score
    percent: int
    place: str


@dataclass(frozen=True)
class Row:
    """A training row in a sentence's card, its text with the words that it shares with the sentence marked."""

    id: str
    percent: int
    passage: Passage


@dataclass(frozen=True)
class Card:
    """What the page shows of one sentence."""

    number: int
    origin: Origin
    label: str
    parts: list[tuple[str, Source]]
    findings: list[str]
    cited: list[Cited]
    rows: list[Row]
    opposing: Cited | None
    parts_of_model: list[tuple[Score, int]]


def text(origins: Origins, top: int = SHOWN) -> str:
    """Sentence by sentence: its verdict, then what its verdict makes one ask for first."""
    marks = citation_numbers(origins.context, top)
    lines = [overview(origins.context), ""]
    for origin in origins:
        lines.append(click.style(plain(origin.text), bold=True, fg=COLOURS[origin.evidence.verdict]))
        lines.append(f"    {'; '.join(findings(origin.evidence, marks, origins.context.response or ''))}")
        lines += [f"    {line}" for line in (copies(origin.copied, top) if origin.copied else [])]
        sources = [_cited_line(origins.context, score, marks) for score in origin.citations[:top]]
        shares = _percents(origin.rows)
        rows = [_row_line(score, share) for score, share in zip(origin.rows[:top], shares, strict=False)]
        if origin.evidence.is_supported:
            names = ", ".join(score.id for score in origin.rows[:top])
            rows = [f"    training rows nearest to it: {names}"] if names else []
            lines += [*sources, *rows, ""]
        else:
            carried = _carried(origin.components[:top])
            lines += [*(rows or ["    no training row speaks for it"]), *carried, *sources, ""]
    return "\n".join([*lines, *_reading(origins), plain(summary(origins.context.method, origins.context.run))])


def page(origins: Origins) -> str:
    """The whole HTML document: self-contained, every text escaped."""
    context, marks = origins.context, citation_numbers(origins.context, SHOWN)
    common = common_words(origins.training.sources.texts)
    cards = [_card(origins, number, marks, common) for number in range(len(origins))]
    assert context.response is not None  # what cite attributes has one
    assert context.targets.spans is not None
    answer, _ = cut(context.response, sentence_rows(context), context.targets.spans)
    view = {
        "a": context,
        "training": origins.training,
        "targets": [],
        "options": [],
        "base": None,
        "cards": cards,
        "answer": answer,
        "first": sentence_rows(context).start,
        "marks": marks,
        "shades": _shades(cards),
        "documents": _documents(context),
        "titles": [titled(document) for document in context.sources.documents],
        "overview": overview(context),
        "reading": _reading(origins),
        "copies": _copies(origins, cards),
        "verdicts": {verdict: meaning for verdict, meaning in VERDICTS.items() if any(_has(card, verdict) for card in cards)},
    }
    return environment().get_template("origins.html.j2").render(view)


def _copies(origins: Origins, cards: list[Card]) -> dict[Source, str]:
    """What the marks of copied words mean: nothing is said of training rows that were not looked through."""
    looked = any(copied.training is not None for copied in origins.copied)
    there = {source for card in cards for _, source in card.parts}
    meanings: dict[Source, str] = COPIES if looked else {**COPIES, "neither": "not in the context"}
    return {source: meaning for source, meaning in meanings.items() if source in there}


def _has(card: Card, verdict: Verdict) -> bool:
    return card.origin.evidence.verdict == verdict


def _card(origins: Origins, number: int, marks: dict[int, int], common: frozenset[str]) -> Card:
    origin, context = origins[number], origins.context
    evidence = origin.evidence
    question = context.asked[0]["prompt"] if context.asked else ""
    wanted = strengths(f"{question} {origin.text}", (len(question) + 1, len(question) + 1 + len(origin.text)), common)
    shown, shares = origin.rows[:SHOWN], _percents(origin.rows)
    against = evidence.contradicting
    scores = context[sentence_rows(context)[number]].top(None)
    worst = next((score for score in scores if score.source == against), None)
    return Card(
        number=number + 1,
        origin=origin,
        label=VERDICTS[evidence.verdict],
        parts=origin.copied.parts(origin.text) if origin.copied else [],
        findings=findings(replace(evidence, opposed_by=None), marks, context.response or "")[1:],  # all but the verdict
        cited=[
            Cited(marks.get(score.source), score, share, place(context.sources, score.source))
            for score, share in zip(origin.citations[:SHOWN], _percents(origin.citations), strict=False)
        ],
        rows=[
            Row(score.id, share, passage(score.text, shared(score.text, wanted)))
            for score, share in zip(shown, shares, strict=False)
        ],
        opposing=worst and Cited(marks.get(worst.source), worst, 100, place(context.sources, worst.source)),
        parts_of_model=list(zip(origin.components[:SHOWN], _percents(origin.components), strict=False)),
    )


def _shades(cards: list[Card]) -> dict[int, int]:
    """How strongly each cited source is lit: its best score, of 100 for the best of all."""
    scores = sorted((c.score for card in cards for c in card.cited), key=lambda score: score.score)
    return {score.source: round(100 * score.score / scores[-1].score) for score in scores}


def _percents(scores: Sequence[Score]) -> list[int]:
    return [round(100 * score.score / scores[0].score) for score in scores]


def _documents(a: Attribution) -> list[Any]:
    """Each document with its text in pieces."""
    if a.sources.spans is None or a.sources.groups is None:
        return []
    inside = [[i for i, g in enumerate(a.sources.groups) if g == group] for group in range(len(a.sources.documents))]
    return [(d, cut(d.text, rows, a.sources.spans)[0]) for d, rows in zip(a.sources.documents, inside, strict=True)]


def _cited_line(context: Attribution, score: Score, marks: dict[int, int]) -> str:
    mark = f"[{marks[score.source]}]" if score.source in marks else "[ ]"
    where = plain(place(context.sources, score.source))
    return f"    {mark} {score.score:+.2f}{error(score, '.2f')}  {where}: {one_line(score.text)}"


def _carried(components: Sequence[Score]) -> list[str]:
    """The parts of the model, in a line."""
    errors = [error(score, ".2f") if score.stderr else "" for score in components]  # what was truly ablated has none
    named = ", ".join(f"{one.text} {one.score:+.2f}{beside}" for one, beside in zip(components, errors, strict=True))
    return [f"    carried by {named}"] if named else []


def _row_line(score: Score, percent: int) -> str:
    return f"    row {score.id:>4} {percent:>4}%  {one_line(score.text)}"


def _reading(origins: Origins) -> list[str]:
    support, ranked = (line.format(unit=origins.context.unit, method=origins.training.method["name"]) for line in READING)
    return [support, RANKED if QUOTES in origins.training.details else ranked]
