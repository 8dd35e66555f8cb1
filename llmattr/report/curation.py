"""What was found in a training set, as text for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from llmattr.curation.finding import KINDS, Curation, Finding
from llmattr.report.lines import one_line, plain
from llmattr.text.rows import prompt_and_completion

ASKED, SAID = 50, 60  # characters of a row that are shown


def text(found: Curation, top: int) -> str:
    """Of each kind how many rows there are and the first of them, with why; then how far signals of wrong answers agree."""
    lines = []
    for kind, count in found.counts().items():
        lines.append(click.style(f"{kind}: {rows_of(count)}, each of which {KINDS[kind]}", bold=True))
        lines += [_line(found, one) for one in of_kind(found, kind)[:top]]
        lines += [f"  ... and {count - top} more (--top, --json)"] * (count > top) + [""]
    for what, rows in found.chosen.items():
        lines += [click.style(f"{what}: {rows_of(len(rows))}, the first to take first", bold=True)]
        lines += [f"  {plain(found.name(row))}: {_excerpt(found.rows[row])}" for row in rows[:top]]
        lines += [f"  ... and {len(rows) - top} more (--top, --json)"] * (len(rows) > top) + [""]
    lines += [*_signals(found.agreement()), *_called_wrong(found)]
    return "\n".join([*lines, _last(found)])


def of_kind(found: Curation, kind: str) -> list[Finding]:
    """Its findings, one of each row."""
    return list({one.row: one for one in reversed([one for one in found.findings if one.kind == kind])}.values())[::-1]


def rows_of(count: int) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} row{'s' * (count != 1)}"


def signals_of(found: Curation, row: int) -> Mapping[str, float]:
    """How suspect the row's answer is by each signal, as the share of the rows that are less so."""
    return {name: float((values < values[row]).mean()) for name, values in found.signals.items()}


def why(found: Curation, one: Finding) -> str:
    """Why one may want to drop it, and the other row by its name."""
    other = found.other(one)
    return one.why if other is None else f"{one.why}: {other[0]}"


def _line(found: Curation, one: Finding) -> str:
    return f"  {plain(found.name(one.row))}: {_excerpt(found.rows[one.row])}\n      {plain(why(found, one))}"


def _excerpt(row: Mapping[str, Any]) -> str:
    """The end of the prompt, which tells rows apart that begin alike, and the beginning of what is said."""
    said = prompt_and_completion(row)
    asked = one_line(said["prompt"][::-1], ASKED)[::-1]
    return f"{asked} [{one_line(said['completion'], SAID)}]" if asked else one_line(said["completion"], ASKED + SAID)


def _signals(agreement: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
    """The rank correlation of every two signals."""
    if len(agreement) < 2:
        return []
    lines = [
        f"  {one} with {other}: {rank:+.2f}"
        for one, others in agreement.items()
        for other, rank in others.items()
        if one < other
    ]
    return ["how far the signals of wrong answers rank the rows alike (1 = the same order):", *lines, ""]


def _called_wrong(found: Curation) -> list[str]:
    """How many answers confident learning calls wrong, which may be more than the suspects that were asked for."""
    wrong = found.run.get("called wrong")
    return (
        []
        if wrong is None
        else [f"confident learning calls the answers of {rows_of(len(wrong))} wrong (--suspects, --json).", ""]
    )


def _last(found: Curation) -> str:
    n = len({one.row for one in found.findings})
    return f"{n:,} of {rows_of(len(found.rows))} have something to look at; nothing is dropped unless --drop says so."
