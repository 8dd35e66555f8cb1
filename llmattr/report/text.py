"""An attribution as plain text for the terminal, and as Markdown."""

import re
from typing import Any

import click

from llmattr.report.marks import citation_numbers, sentence_rows
from llmattr.report.trace import query_of
from llmattr.types import CITATION_RULE, Attribution, Score, Sources, is_cited

NONE_CITED = "no source stands clear of its error"


def terminal(attribution: Attribution, top: int = 5) -> str:
    """The response sentence by sentence with numbered marks and scores, then the cited sources and where they stand."""
    numbers = citation_numbers(attribution, top)
    lines = []
    for row in sentence_rows(attribution):
        cited = [score for score in attribution[row].top(top) if score.cited]
        marks = "  ".join(_mark(numbers[score.source], score) for score in cited) or f"({NONE_CITED})"
        lines += [
            click.style(_plain(attribution.targets.texts[row].strip()), bold=True),
            f"    {click.style(marks, fg='cyan')}",
        ]
    lines += ["", "Sources:" if numbers else f"Sources: {NONE_CITED}."]
    for source, number in numbers.items():
        lines.append(f"{click.style(f'[{number}]', fg='cyan')} {_plain(place(attribution.sources, source))}")
        lines.append(f"    {_one_line(attribution.sources.texts[source])}")
    return "\n".join([*lines, "", *_explanation(attribution)])


def ranking(attribution: Attribution, top: int = 10) -> str:
    """For each target the sources that support it most and those that oppose it most, with their scores."""
    lines = []
    for target, one in enumerate(attribution):
        scores, query = one.top(None), query_of(attribution, target)
        lines.append(_plain(query.start) + click.style(_one_line(query.name), bold=True))
        kinds = {"for": [s for s in scores if s.score > 0][:top], "against": [s for s in scores[::-1] if s.score < 0][:top]}
        for kind, chosen in kinds.items():
            lines += [f"  {kind}:"] if chosen else []
            lines += [f"  {place + 1:>3}  {s.score:+.4g}  row {s.id}  {_one_line(s.text)}" for place, s in enumerate(chosen)]
        lines.append("")
    alike = attribution.targets.measure == "similarity"
    meaning = "higher = more alike; the model was not asked" if alike else "positive = the row made the completion likelier"
    lines.append(f"Scores are {attribution.unit}: {meaning}.")
    return "\n".join([*lines, _plain(summary(attribution.method, attribution.run))])


def markdown(attribution: Attribution, top: int = 5) -> str:
    """The response with footnotes that quote the cited sources."""
    numbers = citation_numbers(attribution, top)
    sentences = []
    for row in sentence_rows(attribution):
        cited = [score for score in attribution[row].top(top) if score.cited]
        marks = "".join(f"[^{numbers[score.source]}]" for score in cited)
        sentences.append(_escape(attribution.targets.texts[row].strip()) + marks)
    notes = []
    for source, number in numbers.items():
        text, where = " ".join(attribution.sources.texts[source].split()), place(attribution.sources, source)
        notes.append(f"[^{number}]: {_escape(text)} ({_escape(where)})")
    return "\n\n".join([" ".join(sentences), *notes]) + "\n"


def place(sources: Sources, source: int) -> str:
    """Where a source stands: its document, line and characters."""
    document = sources.document(source)
    if document is None or sources.spans is None or sources.groups is None:
        return sources.ids[source]
    start, end = sources.spans[source]
    line = document.text.count("\n", 0, start) + 1
    alike = sum(other.id == document.id for other in sources.documents) > 1
    name = f"{document.id} (document {sources.groups[source] + 1})" if alike else document.id
    return f"{name}, line {line}, characters {start}-{end}"


def summary(method: dict[str, Any], run: dict[str, Any]) -> str:
    """One line of how an attribution was made."""
    options = ", ".join(f"{key} {value}" for key, value in method.items() if key != "name")
    said = [
        f"{method['name']}{f' ({options})' if options else ''}",
        f"{run['model']}{' in ' + run['dtype'] if 'forward_passes' in run else ''}" if "model" in run else "",
        f"{run['forward_passes']} forward passes" if "forward_passes" in run else "",
        f"{sum(run['seconds'].values()):.0f} s" if "seconds" in run else "",
    ]
    return ", ".join(part for part in said if part)


def _explanation(attribution: Attribution) -> list[str]:
    against = int(is_cited(-attribution.values, attribution.stderr).any(axis=0).sum())
    lines = [
        f"Scores in {attribution.unit}: positive = the source made the sentence likelier.",
        f"{CITATION_RULE.capitalize()}.",
        summary(attribution.method, attribution.run),
    ]
    if against:
        lines.insert(
            2, f"{against} sources made a sentence less likely: the HTML page (--html) and the JSON (--json) show them."
        )
    return [_plain(line) for line in lines]


def _mark(number: int, score: Score) -> str:
    error = "" if score.stderr is None else f" ±{score.stderr:.2f}"
    return f"[{number}] {score.score:+.2f}{error}"


def _plain(text: str) -> str:
    """Text without control characters, which a terminal would obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def _one_line(text: str, most: int = 160) -> str:
    line = _plain(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)
