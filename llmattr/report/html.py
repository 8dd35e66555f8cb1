"""The page of an attribution: one HTML file, without scripts, in which choosing what was said shows its sources."""

import tempfile
import webbrowser
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.citing import citation_rule, is_cited, least_score
from llmattr.core.evidence import TargetEvidence
from llmattr.report.marks import citation_numbers, cut
from llmattr.report.quality import fit_quality
from llmattr.report.reference import references, titled
from llmattr.report.text import findings, overview
from llmattr.report.trace import trace_view

LIT = 50  # sources clear of their error that are lit for one target, at most
FAINT = 10  # and of the others, those of at least 5 % of the target's largest score
SATURATED = 5.0  # nats by which the context shifts a token of the darkest shade
LISTED = 10  # sources listed beside the answer for one target, at most
NUMBERED = 5  # cited sources of one sentence that get a number, at most, as in the text report


@dataclass(frozen=True)
class Source:
    """A source as one target sees it. `percent`: its score relative to the target's largest, without the sign."""

    score: Score
    mark: int | None
    percent: int
    clear: bool  # it stands clear of its error, whatever its sign; a similarity has none

    @property
    def sign(self) -> str:
        """Which of the two colours it has."""
        return "for" if self.score.score > 0 else "against"


@dataclass(frozen=True)
class Target:
    """A choice: what was said, the sources to light, to list and to name by their marks, and how many more are cited."""

    number: int
    text: str
    lit: list[Source]
    listed: list[Source]
    marked: list[Source]
    more: int
    evidence: TargetEvidence | None
    findings: list[str]
    depends: list[tuple[str, int]]  # pieces of its text, and how strongly each depends on the context, of 100


def page(attribution: Attribution) -> str:
    """The whole HTML document: self-contained, every text escaped."""
    return _render(attribution)


def open_page(attribution: Attribution) -> Path:
    """Write the page to a temporary file, show it in the browser, and return its place."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="llmattr-", suffix=".html", delete=False) as file:
        file.write(page(attribution))
    webbrowser.open(Path(file.name).as_uri())
    return Path(file.name)


def frame(attribution: Attribution) -> str:
    """The page in an `<iframe>`, as notebooks show it."""
    html = _render(attribution, base="about:srcdoc")  # or its links would lead to the notebook
    style = "width: 100%; height: 40rem; border: 1px solid #8884; border-radius: 6px"
    return f'<iframe title="llmattr" sandbox style="{style}" srcdoc="{escape(html)}"></iframe>'


def _render(a: Attribution, base: str | None = None) -> str:
    """The page of a trace is a ranking of both ends for each query; a context is shown whole."""
    name, view = ("trace", trace_view) if a.traced else ("citation", _view)
    options = [f"{key} = {value}" for key, value in a.method.items() if key != "name"]
    return environment().get_template(f"{name}.html.j2").render(view(a), options=options, base=base)


@cache
def environment() -> Environment:
    """The templates of the pages, which escape every text."""
    loader = PackageLoader("llmattr.report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(number=_number, shorten=_shorten)
    return made


def _view(a: Attribution) -> dict[str, Any]:
    """Everything that the template of a citation shows."""
    rows, marks, sources = sentence_rows(a), citation_numbers(a, NUMBERED), a.sources
    answer, loose_targets = [], list(rows)
    if a.targets.spans is not None and a.response is not None:
        answer, loose_targets = cut(a.response, rows, a.targets.spans)
    documents, loose_sources = [], list(range(len(sources)))
    if sources.spans is not None and sources.groups is not None:
        inside = [np.flatnonzero(sources.groups == g).tolist() for g in range(len(sources.documents))]
        cuts = [cut(d.text, i, sources.spans) for d, i in zip(sources.documents, inside, strict=True)]
        documents = [(d, pieces) for d, (pieces, _) in zip(sources.documents, cuts, strict=True)]
        loose_sources = [i for _, loose in cuts for i in loose]
    return {
        "a": a,
        "rule": citation_rule(a.targets.measure),
        "targets": [_target(a[t], t, marks) for t in range(len(a))],
        "rows": rows,
        "marks": marks,
        "answer": answer,
        "loose_targets": loose_targets,
        "documents": documents,
        "titles": [titled(document) for document, _ in documents],
        "references": references(sources),
        "loose_sources": loose_sources,
        "overview": overview(a) if a.evidence else "",
        "fit_quality": fit_quality(a),
        "totals": _totals(a),
    }


def _target(a: Attribution, number: int, marks: dict[int, int]) -> Target:
    """The view of an attribution of one target."""
    scores = [score for score in a.top(None) if score.score]
    peak = max((abs(score.score) for score in scores), default=1.0)
    least = float(least_score(a.targets.measure, a.values, a.baseline)[0, 0]) if a.can_cite else None
    sources = [_source(score, marks, peak, least) for score in scores]
    strongest = sorted(sources, key=lambda s: -abs(s.score.score))
    faint = [s for s in strongest if not s.clear and s.percent >= 5][:FAINT]
    next_best = faint if a.can_cite else sources
    best = [s for s in sources if s.score.cited or (s in next_best and s.sign == "for" and s.score.rank <= NUMBERED)][:LISTED]
    against = [s for s in sources if s.clear and s.sign == "against"][:-3:-1]
    return Target(
        number=number,
        text=a.targets.texts[0],
        lit=[s for s in strongest if s.clear][:LIT] + faint,
        listed=best + against,
        marked=[s for s in best if s.score.cited and s.mark and s.score.rank <= NUMBERED],
        more=sum(s.score.cited for s in sources) - sum(s.score.cited for s in best),
        evidence=a.evidence.targets[0] if a.evidence else None,
        findings=findings(a.evidence.targets[0], marks) if a.evidence else [],
        depends=_depends(a),
    )


def _depends(a: Attribution) -> list[tuple[str, int]]:
    """The one target's text in tokens, each with the shift that the context makes, of `SATURATED` nats."""
    if a.evidence is None or a.targets.spans is None or a.response is None:
        return []
    start, end = a.targets.spans[0]
    tokens = [(int(s), int(e), shift) for (s, e), shift in zip(a.evidence.spans, a.evidence.shift, strict=True)]
    inside = [(max(s, start), min(e, end), shift) for s, e, shift in tokens if s < end and e > start]
    return [(a.response[s:e], round(100 * min(max(shift / SATURATED, 0.0), 1.0))) for s, e, shift in inside]


def _totals(a: Attribution) -> dict[int, float]:
    """What each of several documents does for the first target: the sum of its sources' scores."""
    if not a.can_cite or a.sources.groups is None or len(a.sources.documents) < 2 or a.index is not None:
        return {}
    sums = np.bincount(a.sources.groups, a.values[0], len(a.sources.documents))
    return dict(enumerate(sums.tolist()))


def _source(score: Score, marks: dict[int, int], peak: float, least: float | None) -> Source:
    error = None if score.stderr is None else np.array(score.stderr)
    clear = least is None or bool(is_cited(np.array(abs(score.score)), error, least))
    return Source(score, marks.get(score.source), round(100 * abs(score.score) / peak), clear)


def _number(value: float, sign: str = "") -> str:
    if np.isnan(value):
        return "?"  # an error that is not known
    precise = f"{value:{sign}.2f}" if 0.01 <= abs(value) < 1e6 or not value else f"{value:{sign}.1e}"
    return precise.replace("-", "\N{MINUS SIGN}")


def _shorten(text: str, length: int = 180) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
