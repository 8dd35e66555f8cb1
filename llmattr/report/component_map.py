"""What the page of components shows: for each target a map of layers and heads, the strongest, and a section for each."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmattr.components.attended import ATTENTION
from llmattr.core.attribution import Attribution, Score
from llmattr.metrics.circuits import FAITHFULNESS, KEPT
from llmattr.report.quality import fit_quality
from llmattr.report.trace import LISTED, Query, glyphs, query_of, query_passage
from llmattr.report.words import Passage

SECTIONS = 1200  # components with a section of their own on a page, at most, shared by its targets
ALONE = {"attentions": "attention", "mlps": "MLP", "layers": "layer", "neurons": "strongest neuron"}  # columns beside the heads
ALONE |= {"features": "strongest feature", "error": "error term"}


@dataclass(frozen=True)
class Token:
    """A token that a head attends to: its place from 0, its text, its percentage of the head's attention."""

    place: int
    text: str
    percent: int


@dataclass(frozen=True)
class Component:
    """A component's place in a target.

    `percent`: its score relative to the target's largest, `share`: of all scores, in percent; both without the sign. `is_open`:
    it has a section. `removed`: it was truly removed; None where that is not told apart.
    """

    score: Score
    rank: int
    percent: float
    share: float
    is_open: bool
    removed: bool | None
    tokens: list[Token]

    @property
    def shade(self) -> float:
        """How strong its colour is, in percent: the square root, so that one strong component leaves colour to the others."""
        return round((100 * self.percent) ** 0.5, 1)

    @property
    def sign(self) -> str:
        """Whether it is for the target."""
        return "for" if self.score.score >= 0 else "against"


@dataclass(frozen=True)
class Circuit:
    """A point of the faithfulness curve: the share of the components that is kept, what they do, and its place in percent."""

    share: str
    value: float
    x: float
    y: float


@dataclass(frozen=True)
class Target:
    """A choice: the query, the map as rows of cells (None where a layer has no such part), and the strongest of both signs."""

    number: int
    query: Query
    passage: Passage
    rows: list[tuple[int, list[Component | None]]]
    sides: dict[str, list[Component]]
    opened: list[Component]
    peak: float
    agreement: str
    curve: list[Circuit]


def is_map(a: Attribution) -> bool:
    """Whether its sources have places in a model."""
    return a.sources.kind == "components" and len(a.sources) > 0 and "layer" in a.sources.metadata(0)


def map_view(a: Attribution) -> dict[str, Any]:
    """Everything that the template shows."""
    places = [_place(a, i) for i in range(len(a.sources))]
    columns = list(dict.fromkeys(sorted((column for _, column in places), key=_order)))
    return {
        "a": a,
        "targets": [_target(a, t, places, columns) for t in range(len(a))],
        "columns": columns,
        "attending": ATTENTION in a.details,
        "fit_quality": fit_quality(a),
    }


def _place(a: Attribution, source: int) -> tuple[int, str]:
    """The layer and the column of a component: a head has its number, of others there is one for each layer."""
    known = a.sources.metadata(source)
    return known["layer"], ALONE.get(known["part"], str(known["number"]))


def _order(column: str) -> tuple[int, int]:
    """Heads by their numbers, then the others."""
    return (0, int(column)) if column.isdigit() else (1, list(ALONE.values()).index(column))


def _target(a: Attribution, t: int, places: list[tuple[int, str]], columns: list[str]) -> Target:
    components = _components(a, t)
    cells: dict[tuple[int, str], Component] = {}
    for component in components:  # the strongest first, which is the one of neurons that is shown
        cells.setdefault(places[component.score.source], component)
    layers = sorted({layer for layer, _ in places})
    sides = {sign: [c for c in components if c.sign == sign and c.score.score][:LISTED] for sign in ("for", "against")}
    query = query_of(a, t)
    return Target(
        number=t,
        query=query,
        passage=query_passage(query, []),
        rows=[(layer, [cells.get((layer, column)) for column in columns]) for layer in layers],
        sides=sides,
        opened=[component for component in components if component.is_open],
        peak=abs(components[0].score.score),
        agreement=_agreement(a, t),
        curve=_curve(a, t),
    )


def _components(a: Attribution, t: int) -> list[Component]:
    """All of a target, the strongest of either sign first."""
    scores = sorted(a[t].top(None), key=lambda score: -abs(score.score))
    peak, total = abs(scores[0].score) or 1.0, sum(abs(score.score) for score in scores) or 1.0
    removed = set(a.details["verified"][t]) if "verified" in a.details else None
    attention = a.details[ATTENTION][t] if ATTENTION in a.details else {}
    return [
        Component(
            score,
            rank,
            round(100 * abs(score.score) / peak, 2),
            100 * abs(score.score) / total,
            rank <= max(SECTIONS // len(a), 2 * LISTED),
            None if removed is None else score.id in removed,
            [Token(place, glyphs(text), round(100 * share)) for place, text, share in attention.get(score.id, ())],
        )
        for rank, score in enumerate(scores, 1)
    ]


def _curve(a: Attribution, t: int) -> list[Circuit]:
    """What the strongest components do alone, from few of them to all; nothing where that was not measured."""
    values = a.details[FAITHFULNESS][t] if FAITHFULNESS in a.details else []
    if not np.isfinite(values).all():  # all together do nothing, so that there is no share of it
        return []
    low, high = min(0.0, *values, 0.0), max(1.0, *values, 1.0)
    places = zip(KEPT, values, strict=False)
    return [
        Circuit(f"{100 * share:g}%", value, 100 * i / (len(KEPT) - 1), round(100 * (high - value) / (high - low), 2))
        for i, (share, value) in enumerate(places)
    ]


def _agreement(a: Attribution, t: int) -> str:
    """How far gradients and true removals agree for this target, where several have figures of their own."""
    if len(a) < 2 or "agreement" not in a.details:
        return ""
    return f"Gradients and true removals rank what was removed alike by {a.details['agreement'][t]:.2f} of 1."
