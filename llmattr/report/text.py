"""An attribution as plain text for the terminal, and as Markdown."""

import itertools
import math
import re
from typing import Any

import click
import numpy as np

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.citing import LEAST, citation_rule
from llmattr.core.evidence import CITING, RULE, VERDICTS, TargetEvidence
from llmattr.core.sources import Sources
from llmattr.report.marks import citation_numbers, opposing
from llmattr.report.quality import fit_quality
from llmattr.report.reference import place
from llmattr.report.trace import query_of
from llmattr.text import split

DEPENDS = 1.0  # nats by which the context makes a token likelier: it is underlined
NONE_CITED = "no source stands clear of its error"


def terminal(attribution: Attribution, top: int = 5) -> str:
    """The response sentence by sentence with numbered marks and scores, then the cited sources and where they stand.

    Similarities cite nothing: they are shown as a `ranking`.
    """
    if not attribution.can_cite:
        return ranking(attribution, top)
    numbers, evidence = citation_numbers(attribution, top), attribution.evidence
    lines = [overview(attribution), ""] if evidence else []
    for row in sentence_rows(attribution):
        cited = [score for score in attribution[row].top(top) if score.cited]
        marks = "  ".join(_mark(numbers[score.source], score) for score in cited) or f"({NONE_CITED})"
        lines += [_sentence(attribution, row), f"    {click.style(marks, fg='cyan')}"]
        lines += (
            [f"    {line}" for line in findings(evidence.targets[row], numbers, attribution.response or "")] if evidence else []
        )
    lines += ["", "Sources:" if numbers else f"Sources: {NONE_CITED}."]
    for source, number in numbers.items():
        lines.append(f"{click.style(f'[{number}]', fg='cyan')} {plain(place(attribution.sources, source))}")
        lines.append(f"    {one_line(attribution.sources.texts[source])}")
    return "\n".join([*lines, "", *_explanation(attribution)])


def overview(attribution: Attribution) -> str:
    """How much of the response depends on the context at all: its sentences by verdict."""
    assert attribution.evidence is not None
    rows = sentence_rows(attribution)
    found = [attribution.evidence.targets[row].verdict for row in rows]
    counts = [f"{found.count(name)} {meaning}" for name, meaning in VERDICTS.items() if name in found]
    return f"{len(found)} sentence{'s' * (len(found) != 1)}: {', '.join(counts)}."


def findings(evidence: TargetEvidence, numbers: dict[int, int], response: str = "") -> list[str]:
    """What true ablations say of a sentence of the response, in lines; sources that have no number are left out."""
    lines = [f"{VERDICTS[evidence.verdict]} (support {evidence.support:+.2f})"]
    words = [one_line(response[start:end]) for start, end in evidence.missing]
    lines += (
        [f"{' and '.join(map(repr, words))} stand{'s' * (len(words) == 1)} nowhere in what the model was given"]
        if any(words)
        else []
    )
    if evidence.verdict not in CITING:
        against = opposing(evidence)
        return lines + ([f"opposed by source [{numbers[against]}]"] if against in numbers else [])
    if evidence.share is not None and all(source in numbers for source in evidence.sufficient):
        names = " and ".join(f"[{numbers[source]}]" for source in evidence.sufficient)
        lines[0] += f"; {names} alone give{'s' * (len(evidence.sufficient) == 1)} {evidence.share:.0%} of it"
    either = [f"[{numbers[a]}] or [{numbers[b]}]" for a, b in evidence.alternatives if a in numbers and b in numbers]
    return lines + ([f"either suffices: {'; '.join(either)}"] if either else [])


def _found(attribution: Attribution, row: int, numbers: dict[int, int]) -> list[str]:
    evidence = attribution.evidence
    return findings(evidence.targets[row], numbers, attribution.response or "") if evidence else []


def zoomed(attribution: Attribution, top: int = 3) -> str:
    """The words inside the best cited source of each sentence that matter most for it."""
    numbers, lines, inside = citation_numbers(attribution, top), ["", "Words inside the first citation of each sentence:"], {}
    for row in sentence_rows(attribution):
        best = next((score.source for score in attribution[row].top(1) if score.cited), None)
        if best is None:
            continue
        if len(split.spans(attribution.sources.texts[best], split.words)) < 2:
            lines.append(f"  [{numbers[best]}] is one word")
            continue
        inside[best] = inside.get(best) or attribution.zoom(best)
        words = [s for s in inside[best][row].top(top) if s.score > LEAST]
        said = ", ".join(f"{one_line(s.text)} {s.score:+.2f}" for s in words) or "no single word"
        lines.append(f"  [{numbers[best]}] {said}")
    if len(lines) == 2:
        lines.append("  nothing is cited")
    return "\n" + "\n".join(lines)


def ranking(attribution: Attribution, top: int = 10) -> str:
    """For each target the sources that support it most and those that oppose it most, with their scores."""
    lines = []
    for target, one in enumerate(attribution):
        scores, query = one.top(None), query_of(attribution, target)
        lines.append(plain(query.start) + click.style(one_line(query.name), bold=True))
        kinds = {"for": [s for s in scores if s.score > 0][:top], "against": [s for s in scores[::-1] if s.score < 0][:top]}
        for kind, chosen in kinds.items():
            lines += [f"  {kind}:"] if chosen else []
            lines += [
                f"  {place + 1:>3}  {_score(s)}  {_name(s, attribution.sources)}  {one_line(s.text)}"
                for place, s in enumerate(chosen)
            ]
        lines += [] if any(kinds.values()) else ["  no source has an effect that can be seen"]
        lines.append("")
    alike = attribution.targets.measure == "similarity"
    thing = "row" if attribution.sources.kind == "training rows" else "group"
    meaning = (
        "higher = more alike; the model was not asked" if alike else f"positive = the {thing} made the completion likelier"
    )
    if attribution.sources.spans is not None:  # parts of a context
        meaning = "higher = more alike; no source was removed for these scores, and they cite nothing"
    lines.append(f"Scores are {attribution.unit}: {attribution.meaning or meaning}.")
    lines += fit_quality(attribution)
    return "\n".join([*lines, plain(summary(attribution.method, attribution.run))])


def summary(method: dict[str, Any], run: dict[str, Any]) -> str:
    """One line of how an attribution was made."""
    options = ", ".join(f"{key} {value}" for key, value in method.items() if key != "name")
    said = [
        f"{method['name']}{f' ({options})' if options else ''}",
        run.get("model", "") + (f" in {run['dtype']}" if "forward_passes" in run and "dtype" in run else ""),
        f"behind {run['server']}" if "server" in run else "",
        f"{run['forward_passes']} forward passes" if "forward_passes" in run else "",
        f"{run['runs']} models trained" if run.get("runs") else "",
        f"{sum(run['seconds'].values()):.0f} s" if "seconds" in run else "",
    ]
    return ", ".join(part for part in said if part)


def _sentence(attribution: Attribution, row: int) -> str:
    """The sentence in bold; what the context makes likelier by a nat or more is underlined."""
    text, spans, evidence = attribution.targets.texts[row], attribution.targets.spans, attribution.evidence
    if evidence is None or spans is None:
        return click.style(plain(text.strip()), bold=True)
    start = int(spans[row, 0])
    depends = np.zeros(len(text), dtype=bool)
    for (a, b), shift in zip(evidence.spans - start, evidence.shift, strict=True):
        depends[max(a, 0) : max(b, 0)] |= shift >= DEPENDS
    runs = itertools.groupby(range(len(text)), key=lambda i: bool(depends[i]))
    parts = [("".join(text[i] for i in run), marked) for marked, run in runs]
    return "".join(click.style(plain(part), bold=True, underline=marked) for part, marked in parts).strip()


def _explanation(attribution: Attribution) -> list[str]:
    against = int((attribution.clear & (attribution.values < 0)).any(axis=0).sum())
    lines = [
        f"Scores in {attribution.unit}: positive = the source made the sentence likelier.",
        f"{citation_rule(attribution.targets.measure, attribution.share).capitalize()}.",
        *fit_quality(attribution),
        *([RULE] if attribution.evidence else []),
        summary(attribution.method, attribution.run),
    ]
    if against:
        some = "1 source" if against == 1 else f"{against} sources"
        lines.insert(2, f"{some} made a sentence less likely: the HTML page (--html) and the JSON (--json) show them.")
    return [plain(line) for line in lines]


def _mark(number: int, score: Score) -> str:
    return f"[{number}] {score.score:+.2f}{_error(score, '.2f')}"


def _score(score: Score) -> str:
    return f"{score.score:+.4g}" if score.stderr is None else f"{score.score:+.3g}{_error(score, '.2g')}"


def _error(score: Score, form: str) -> str:
    """Nothing where there is no error, a question mark where it is not known."""
    if score.stderr is None:
        return ""
    return " ±?" if math.isnan(score.stderr) else f" ±{score.stderr:{form}}"


def _name(score: Score, sources: Sources) -> str:
    """A training row by its number, what else is removed by its id."""
    return f"row {score.id}" if sources.kind == "training rows" else plain(score.id)


def plain(text: str) -> str:
    """Text without control characters, which a terminal would obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def one_line(text: str, most: int = 160) -> str:
    """The text on one line, its end cut off when it is long."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
