"""What the page of a citation shows: each sentence with its sources, and the documents with what is cited in them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.citing import citation_rule, is_clear, least_score
from llmattr.core.evidence import TargetEvidence, Verdict
from llmattr.core.sources import Document, Sources
from llmattr.report.marks import citation_numbers, cut
from llmattr.report.quality import fit_quality
from llmattr.report.reference import Reference, references, titled
from llmattr.report.verdicts import findings, overview

LIT = 50  # sources clear of their error that are lit for one target, at most
FAINT = 10  # and of the others, those of at least 5 % of the target's largest score
SATURATED = 5.0  # nats by which the context shifts a token of the darkest shade
LISTED = 10  # sources listed beside a target, at most, and as many behind "more"
NUMBERED = 5  # cited sources of one sentence that get a number, at most, as in the text report
LONG = 40  # sources of a document from which on what nothing leads to is folded
RUN = 4  # of them in a row, at least
FLAGS: dict[Verdict, str] = {"unsupported": "not supported", "contradicted": "contradicted", "memory": "from memory"}
PROSE = ("paragraph", "item", "quote")  # blocks whose lines may be wrapped anew


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
    """A choice: what was said, the sources to light, to list, to keep behind "more", and to name by their marks.

    `unlisted`: how many more are cited. `pieces`: its text, with what a reader has to doubt marked. `depends`: its tokens, and
    how strongly each depends on the context, of 100.
    """

    number: int
    pieces: list[tuple[str, bool]]
    lit: list[Source]
    listed: list[Source]
    more: list[Source]
    unlisted: int
    marked: list[Source]
    evidence: TargetEvidence | None
    findings: list[str]
    depends: list[tuple[str, int]]

    @property
    def anchor(self) -> str:
        """Where choosing it leads: to its best source, or to itself where it has none."""
        best = next(iter(self.listed), None)
        return f"a{self.number}" if best is None else f"c{self.number}s{best.score.source}"

    @property
    def flag(self) -> str:
        """What a reader must see without choosing it."""
        return "" if self.evidence is None else FLAGS.get(self.evidence.verdict, "")


class Piece(NamedTuple):
    """A stretch of a document, the source that it is, and how it is laid out ("prose": its lines are wrapped anew)."""

    text: str
    source: int | None
    kind: str


class Run(NamedTuple):
    """Pieces of a document in a row; folded where nothing leads to them. `count`: their sources."""

    pieces: list[Piece]
    folded: bool
    count: int


@dataclass(frozen=True)
class Shown:
    """A document: its name, what is known of it, how many of its sources are cited, and its text."""

    document: Document
    known: Reference | None
    is_named: bool
    cited: int
    runs: list[Run]

    @property
    def name(self) -> str:
        """Its title, or what else it is called."""
        return self.known.name if self.known else self.document.title or self.document.id


def citation_view(a: Attribution) -> dict[str, Any]:
    """Everything that the template shows."""
    rows, marks = sentence_rows(a), citation_numbers(a, NUMBERED)
    answer, loose_targets = [], list(rows)
    if a.targets.spans is not None and a.response is not None:
        answer, loose_targets = cut(a.response, rows, a.targets.spans)
    targets = [_target(a[t], t, marks) for t in range(len(a))]
    anchors: dict[int, list[int]] = {}
    for target in targets:
        for source in (*target.listed, *target.more):
            anchors.setdefault(source.score.source, []).append(target.number)
    documents, loose_sources = _documents(a, marks, anchors)
    sentences = [target.number for target in targets if target.number in rows]
    return {
        "a": a,
        "rule": citation_rule(a.targets.measure, a.share),
        "targets": targets,
        "rows": rows,
        "marks": marks,
        "anchors": anchors,
        "first_with": {i: next((t for t in sentences if t in anchors.get(i, ())), rows.start) for i in marks},
        "answer": answer,
        "loose_targets": loose_targets,
        "documents": documents,
        "folded": any(run.folded for document in documents for run in document.runs),
        "references": references(a.sources),
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
    cited = [s for s in sources if s.score.cited]
    evidence = a.evidence.targets[0] if a.evidence else None
    contrary = evidence.contrary.source if evidence and evidence.contrary else None
    against = [s for s in sources if s.clear and s.sign == "against" and s.score.source != contrary][:-3:-1]
    against = [s for s in sources if s.score.source == contrary] + against
    hop = None if evidence is None else evidence.second_hop
    hops = [_source(score, marks, peak, least) for score in a.top(None) if score.source == hop]
    is_opposed = bool(cited) or evidence is None or evidence.is_contradicted
    others = [s for s in sources if s.sign == "for" and not s.score.cited and (s.clear or s in faint)]
    others = [s for s in others if s.score.source not in (hop, contrary)]
    others += [] if is_opposed else against
    best = cited[:LISTED] if a.can_cite else sources[:NUMBERED]
    return Target(
        number=number,
        pieces=_pieces(a),
        lit=[s for s in strongest if s.clear][:LIT] + faint,
        listed=best + hops + (against if is_opposed else []),
        more=others[:LISTED] if a.can_cite else [],
        unlisted=len(cited) - len(best) if a.can_cite else 0,
        marked=[s for s in cited if s.mark and s.score.rank <= NUMBERED] + hops,
        evidence=evidence,
        findings=findings(evidence, marks, a.response or "") if evidence else [],
        depends=_depends(a),
    )


def _pieces(a: Attribution) -> list[tuple[str, bool]]:
    """The one target's text, cut around what a reader has to doubt: names that stand nowhere, apart, or have a rival."""
    if a.evidence is None or a.targets.spans is None or a.response is None:
        return [(a.targets.texts[0], False)]
    start, end = map(int, a.targets.spans[0])
    one = a.evidence.targets[0]
    doubted = [*one.missing, *one.apart, *((found.start, found.end) for found in (one.rival, one.contrary) if found)]
    doubted = [(s, e) for s, e in doubted if start <= s < e <= end]
    places = sorted({start, end, *itertools.chain(*doubted)})
    marked = [any(s <= first and last <= e for s, e in doubted) for first, last in itertools.pairwise(places)]
    return [(a.response[s:e], mark) for (s, e), mark in zip(itertools.pairwise(places), marked, strict=True)]


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
    clear = least is None or bool(is_clear(np.array(abs(score.score)), error, least))
    return Source(score, marks.get(score.source), round(100 * abs(score.score) / peak), clear)


def _documents(a: Attribution, marks: dict[int, int], anchors: dict[int, list[int]]) -> tuple[list[Shown], list[int]]:
    """The documents with their sources in place, and the sources that have none."""
    sources = a.sources
    if sources.spans is None or sources.groups is None:
        return [], list(range(len(sources)))
    shown, loose = [], []
    for number, document in enumerate(sources.documents):
        inside = np.flatnonzero(sources.groups == number).tolist()
        cuts, lost = cut(document.text, inside, sources.spans)
        loose += lost
        known = titled(document)
        is_named = bool(document.title or known or len(sources.documents) > 1)
        runs = _runs(_laid_out(cuts, sources), anchors if len(inside) > LONG else None)
        shown.append(Shown(document, known, is_named, sum(i in marks for i in inside), runs))
    return shown, loose


def _laid_out(cuts: Sequence[tuple[str, int | None]], sources: Sources) -> list[Piece]:
    """Which pieces are prose, so that lines that were wrapped at 80 characters are not broken twice."""
    kinds = ["" if i is None or sources.blocks is None or sources.blocks[i] not in PROSE else "prose" for _, i in cuts]
    pieces = []
    for place, ((text, i), kind) in enumerate(zip(cuts, kinds, strict=True)):
        inner = i is None and text.count("\n") == 1 and not text.strip()
        around = kinds[max(place - 1, 0)] and kinds[min(place + 1, len(kinds) - 1)]
        pieces.append(Piece(text, i, "prose" if kind or (inner and around) else ""))
    return pieces


def _runs(pieces: list[Piece], anchors: dict[int, list[int]] | None) -> list[Run]:
    """The pieces in runs; folded is what is further than one source from any that something leads to. None: nothing is."""
    if anchors is None:
        return [Run(pieces, False, 0)]
    led = [place for place, piece in enumerate(pieces) if piece.source in anchors]
    near = {near for place in led for near in range(place - 2, place + 3)}  # a source and what stands between two of them
    runs = []
    for is_near, group in itertools.groupby(enumerate(pieces), key=lambda pair: pair[0] in near):
        some = [piece for _, piece in group]
        count = sum(piece.source is not None for piece in some)
        runs.append(Run(some, not is_near and count >= RUN, count))
    return runs
