"""What the page of a check shows: the answer with its markers, a card for each sentence, the answer repaired."""

from dataclasses import dataclass
from typing import Any, Literal

from llmattr.context.checked import Check
from llmattr.context.standing import STANDINGS, CheckedMarker, Standing
from llmattr.report.check import is_covered, lacking, mark_of, name_of, summary, told_of
from llmattr.report.html import FRAMED, environment, framed
from llmattr.report.marks import cut

State = Literal["fine", "lacks", "wrong", "plain"]
STATES: dict[State, str] = {
    "fine": "a marker that holds",
    "lacks": "supported without a marker",
    "wrong": "not supported, or wrongly cited",
    "plain": "says that it does not know",
}


@dataclass(frozen=True)
class Shown:
    """A marker as a reader sees it: what was written, what it is worth, why, and the passage of its document."""

    mark: str
    standing: Standing
    meaning: str
    document: str
    told: str
    passage: str


@dataclass(frozen=True)
class Card:
    """A sentence with its markers, and what it lacks."""

    number: int
    text: str
    state: State
    markers: list[Shown]
    lacks: list[str]


def page(check: Check, unsupported: str = "keep", base: str | None = None) -> str:
    """The whole HTML document: self-contained, without scripts, every text escaped; `base`: what its links are of."""
    spans = [(one.start, one.end) for one in check.sentences]
    pieces, _ = cut(check.answer, range(len(spans)), spans)
    repaired = check.repaired(unsupported)
    view: dict[str, Any] = {
        "pieces": pieces,
        "cards": [_card(check, t) for t in range(len(spans))],
        "before": [_shown(check, one) for one in check.markers if one.sentence is None],
        "repaired": cut(repaired.text, range(len(repaired.unsupported)), repaired.unsupported)[0],
        "changes": repaired.changes,
        "summary": summary(check),
        "states": STATES,
        "documents": [name_of(check, d) for d in range(len(check.documents))],
        "query": check.run.get("query"),
    }
    run = {key: value for key, value in check.run.items() if key in ("model", "dtype", "forward_passes")}
    how = "words, names and numbers" if check.run.get("method") == "words" else "the model behind each document"
    a = {"run": run, "method": {"name": how}}
    return environment().get_template("check.html.j2").render(view, a=a, options=[], base=base)


def frame(check: Check) -> str:
    """The page as notebooks show it."""
    return framed(page(check, base=FRAMED))


def _card(check: Check, t: int) -> Card:
    markers = [one for one in check.markers if one.sentence == t]
    is_wrong = t in check.unsupported or any(not one.holds for one in markers)
    state: State = (
        "wrong" if is_wrong else "lacks" if t in check.missing else "fine" if markers or is_covered(check, t) else "plain"
    )
    return Card(t + 1, check.said(t), state, [_shown(check, one) for one in markers], lacking(check, t))


def _shown(check: Check, one: CheckedMarker) -> Shown:
    support = check.support(one)
    document = "" if support is None else name_of(check, support.document)
    passage = "" if support is None or support.quote is None else check.documents[support.document].text[slice(*support.quote)]
    told = "" if support is None else told_of(check, support)
    return Shown(mark_of(check, one), one.standing, STANDINGS[one.standing], document, told, passage if told else "")
