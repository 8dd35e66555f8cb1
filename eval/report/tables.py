"""From recorded figures to the tables that people read: which columns, in which order, and what stands in a cell."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eval.harness.record import Figure

FAMILIES = ("corroborative", "predictive", "game-theoretic", "datamodel")
REFERENCE = "reference"  # the family of rows that are no method: random scores, gold labels, ceilings
WRONG = ("failed", "not measured")  # columns that say why a row has no numbers
BEST_FIRST = ("LDS", "AP", "MRR", "F1")  # a family's rows are sorted by the first of these
WIDEST = 9  # columns of a table at most
LEAST = ("P@1", "R@3", "drop 1", "passes", "bytes")  # these go first where there are more
Parts = Mapping[str, Any]  # the record of a benchmark: part -> about, command, date, machine, versions, figures, notes


@dataclass(frozen=True)
class Choice:
    """The columns of a part, all without any; the rows to keep; whether they are sorted by family."""

    columns: tuple[str, ...] = ()
    keep: Callable[[Figure], bool] = lambda _: True
    sort: bool = True


CHOICES: dict[str, dict[str, Choice]] = {
    "context": {
        "prediction": Choice(("LDS", "drop 3", "counterfactual error 3", "passes", "tokens", "seconds")),
        "support": Choice(("AP", "MRR", "P@1", "R@3", "cited precision", "cited recall", "cited f1")),
    },
    "citations": {
        "support": Choice(("AP", "MRR", "R@3", "cited precision", "cited recall", "cited f1", "threshold F1")),
    },
    "facts": {
        "facts": Choice(("MRR", "recall@10", "LDS", "removal drop", "tail-patch", "CPU s", "models")),
    },
    "bench_cite": {
        "scoring": Choice(
            ("sentences", "engine", "s per ablation", "times as fast", "largest error, nats", "peak MB"), sort=False
        ),
    },
    "bench_retrain": {
        "models": Choice(
            ("layers x width", "parameters", "way", "CPU s a model", "models a minute", "times as fast"),
            keep=lambda row: row.get("way") == "usual loop" or bool(row.get("chosen")),
            sort=False,
        ),
        "lds": Choice(("models", "LDS", "standard error", "ceiling", "LDS / ceiling", "own row first"), sort=False),
    },
    "bench_trace": {
        "build": Choice(("what", "model", "rows", "min s", "median s", "over floor (median of rounds)"), sort=False),
        "peers": Choice(
            ("what", "method", "all s", "peak MiB", "index bytes", "rho to exact", "top 10 shared", "versions"), sort=False
        ),
    },
}


@dataclass(frozen=True)
class Cell:
    """What is shown, the number that it is sorted by, and why there is none."""

    text: str = ""
    number: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Table:
    """A part of a benchmark for people. `left_out`: columns that only the benchmark's own Markdown has."""

    file: str
    part: str
    about: str
    columns: list[str]
    rows: list[list[Cell]]
    left_out: list[str]
    wrong: list[str]
    notes: list[str]
    command: str
    circumstances: str


def tables(file: str, record: Parts) -> list[Table]:
    """The tables of a benchmark: those that `CHOICES` names, or every part but matrices and breakdowns ("part, subset")."""
    chosen = CHOICES.get(file, {name: Choice() for name in record if "," not in name and not name.startswith("agreement")})
    return [_table(file, part, record[part], chosen[part]) for part in chosen if record.get(part, {}).get("figures")]


def _table(file: str, name: str, part: Parts, choice: Choice) -> Table:
    rows = [row for row in part["figures"] if choice.keep(row)]
    if choice.sort:
        rows = ordered([*rows, *_ceiling_row(part)])
    shown, left_out = _columns(rows, choice, WIDEST if file != "families" else None)
    machine, versions = part.get("machine", {}), part.get("versions", {})
    where = [f"{machine.get('cpu', 'unknown machine')}, {machine.get('cores', '?')} cores"]
    return Table(
        file=file,
        part=name,
        about=part.get("about", ""),
        columns=shown,
        rows=[[cell(row, column) for column in shown] for row in rows],
        left_out=left_out,
        wrong=[f"{row.get('method', '?')}: {word}: {row[word]}" for row in rows for word in WRONG if row.get(word)],
        notes=list(part.get("notes", [])),
        command=part.get("command", ""),
        circumstances="; ".join([part.get("date", "")[:10], *where, ", ".join(f"{k} {v}" for k, v in versions.items())]),
    )


def family(row: Figure) -> str:
    """The family of a row: its own, or where it says nothing of it that of the method that its name begins with."""
    return (row["family"] if "family" in row else families().get(row.get("method", "").split(",")[0])) or REFERENCE


@cache
def families() -> dict[str, str]:
    """The family of each of the package's methods, of the context, of training and of training again."""
    from llmattr.context import METHODS as CONTEXT  # torch comes with them
    from llmattr.retraining import METHODS as RETRAINING
    from llmattr.training import METHODS as TRAINING

    return {name: method.family for methods in (CONTEXT, TRAINING, RETRAINING) for name, method in methods.items()}


def ordered(rows: Sequence[Figure]) -> list[Figure]:
    """By family, and in a family the best first; references last."""
    best = next((name for name in BEST_FIRST if any(number(row.get(name)) is not None for row in rows)), None)

    def place(row: Figure) -> tuple[int, float]:
        value = number(row.get(best)) if best else 0.0
        group = FAMILIES.index(family(row)) if family(row) in FAMILIES else len(FAMILIES)
        return group, math.inf if value is None else -value

    return sorted(rows, key=place)


def ceiling(part: Parts) -> float | None:
    """The LDS that noise leaves to any prediction: the row whose method is named so, or what a note says."""
    values = [number(row.get("LDS")) for row in part["figures"] if "ceiling" in str(row.get("method"))]
    said = [re.search(r"(?:ceiling|allows an LDS)[^.\d]*(0?\.\d+)", note) for note in part.get("notes", [])]
    values += [number(part.get("ceiling")), *[float(match[1]) for match in said if match]]
    return next((value for value in values if value is not None), None)


def _ceiling_row(part: Parts) -> list[Figure]:
    """A row for a ceiling that a part has beside its rows."""
    value = ceiling(part)
    known = value is None or any("ceiling" in str(row.get("method")) for row in part["figures"])
    return [] if known else [{"method": "ceiling", "LDS": value}]


def _columns(rows: Sequence[Figure], choice: Choice, widest: int | None) -> tuple[list[str], list[str]]:
    """What is shown, and what is left out for its width. Intervals stand in the cell of what they are of."""
    there = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, list))
    found = [name for name in there if name not in WRONG and not name.endswith(" 95 %")]
    names = ["family", "method"] if choice.sort and "method" in found else []
    if all(family(row) == REFERENCE for row in rows if names):
        names = names[1:]
    found = [name for name in found if name not in ("family", "method") or not choice.sort]
    wanted = [name for name in choice.columns if name in found] if choice.columns else found
    room = widest - len(names) if widest else len(found)
    kept = list(wanted)
    for name in LEAST:
        if len(kept) > room and name in kept:
            kept.remove(name)
    kept = kept[:room]
    return names + kept, [name for name in found if name not in kept]


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None


def cell(row: Figure, column: str) -> Cell:
    """A cell: the number with its interval, words, or what went wrong where a number should be."""
    value: Any = row.get(column)
    if column == "family":
        return Cell(family(row))
    if (amount := number(value)) is not None:
        interval = re.sub(r"-?\d+\.\d+", lambda found: short(float(found[0])), row.get(f"{column} 95 %") or "")
        shown = as_bytes(amount) if "bytes" in column else short(value)
        return Cell(f"{shown} ({interval})" if interval else shown, amount)
    if value is not None and not isinstance(value, float):
        return Cell(str(value))
    wrong = next((word for word in WRONG if row.get(word)), None)
    return Cell(wrong, why=str(row[wrong])) if wrong else Cell()


def short(value: float) -> str:
    """Two significant digits, two decimals below 2, small counts whole."""
    value, size = value + 0, abs(value)  # + 0: no negative zero
    if isinstance(value, int) and size < 1000:
        return str(value)
    if size >= 9.95:
        return f"{float(f'{value:.2g}'):,.0f}"
    if 0 < size < 0.005:
        return f"{value:.0e}".replace("e-0", "e-") if size < 0.0005 else f"{value:.3f}"
    return f"{value:.2f}" if size < 2 else f"{value:.1f}"


def as_bytes(value: float) -> str:
    """A number of bytes with a unit."""
    power = min(3, int(math.log10(value) // 3)) if value >= 1 else 0
    return f"{short(value / 1000**power)} {('B', 'kB', 'MB', 'GB')[power]}"


def markdown(table: Table) -> str:
    """The table, what went wrong, what is left out, and how it was measured."""
    cells = [table.columns, *[[one.text for one in row] for row in table.rows]]
    safe = [[plain(text).replace("|", "\\|") for text in row] for row in cells]
    widths = [max(len(row[i]) for row in safe) for i in range(len(table.columns))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in safe]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += ["", *[f"- {plain(line)}" for line in table.wrong], *[""] * bool(table.wrong)]
    more = f" Not shown: {plain(', '.join(table.left_out))}." if table.left_out else ""
    command = table.command.replace("`", "'")
    return "\n".join([*lines, f"`{' '.join(command.split())}`, {plain(table.circumstances)}.{more}"])


def plain(text: str) -> str:
    """One line of Markdown in which no tag begins."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
