"""From recorded figures to the tables that people read: which rows, in which order, and what stands in a cell."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eval.harness.record import Figure, of_world
from eval.report.views import CURVE, FAMILIES, REFERENCE, VIEWS, Parts, View, main_parts

WRONG = ("failed", "not measured")  # columns that say why a row has no numbers
BESIDE = (" 95 %", " n")  # after a measure: the columns of its interval and of how many it is the mean of
BEST_FIRST = ("LDS", "AP", "MRR", "F1")  # a family's rows are sorted by the first of these
WIDEST = 9  # columns of a table at most where none are chosen


@dataclass(frozen=True)
class Cell:
    """What is shown, the number that it is sorted by, and why there is none."""

    text: str = ""
    number: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """Cells, and what rows are filtered by."""

    cells: list[Cell]
    family: str
    budget: int | None


@dataclass(frozen=True)
class Table:
    """A table for people. `columns`: as the record names them; `heads`: as people read them; `real`: which differences are."""

    title: str
    columns: list[str]
    heads: list[str]
    rows: list[Row]
    real: list[str]


@dataclass(frozen=True)
class Part:
    """A part of a benchmark for people. `of`: the set that it is alone of; `left_out`: columns that none of its tables has."""

    of: str
    about: str
    tables: list[Table]
    left_out: list[str]
    wrong: list[str]
    notes: list[str]
    command: str
    circumstances: str
    tiny: bool


def curve(record: Parts, name: str) -> Parts:
    """A part's methods at every budget, of the same run; no rows where there was one budget."""
    found = record.get(f"{name}, curve", record.get("curve", {"figures": []}))
    return found if found.get("date") == record[name].get("date") else {"figures": []}


def parts(file: str, record: Parts, whole: bool = False) -> list[Part]:
    """The tables of a benchmark; `whole`: its curves and its tables of single sets, too."""
    made = []
    for name in main_parts(file, record):
        seen = "table" if of_world(name) else name
        views = VIEWS.get((file, seen)) or VIEWS.get((_benchmark(record[name]), seen), (View(),))
        called = "" if name in (file, "table") else name
        budgets = [row for row in curve(record, name)["figures"] if "budget" in row]
        first = {row["method"]: row["budget"] for row in reversed(budgets)}  # the budget that the table has them at
        made.append(_part(record[name], views, first, called))
        if whole and budgets:
            made.append(_part(curve(record, name), (CURVE,), first, called))
        sets = [one for one in record if one.startswith(f"{name}, ") and not one.endswith((", curve", ", agreement"))]
        for one in sets if whole else ():
            of = one.removeprefix(f"{name}, ")
            made.append(_part(record[one], views, first, called, of))
    return made


def _benchmark(part: Parts) -> str:
    """What made a part, by its command: a result of one's own is shown as the benchmark's."""
    return next(iter(part.get("command", "").removeprefix("python -m eval ").split()), "")


def _part(part: Parts, views: Sequence[View], first: Mapping[str, int], name: str, of: str = "") -> Part:
    tables = [_table(part, view, first, ", ".join(filter(None, (name, view.title, of)))) for view in views]
    named = list(dict.fromkeys(key for row in part["figures"] for key, value in row.items() if not isinstance(value, list)))
    shown = {name for table in tables for name in table.columns}
    return Part(
        of=of,
        about=part.get("about", ""),
        tables=[table for table in tables if table.rows],
        left_out=[name for name in named if name not in (*shown, *WRONG, "family", "of") and not name.endswith(BESIDE)],
        wrong=[f"{row.get('method', '?')}: {word}: {row[word]}" for row in part["figures"] for word in WRONG if row.get(word)],
        notes=[note for note in part.get("notes", []) if not any(note in table.real for table in tables)],
        command=part.get("command", ""),
        circumstances=circumstances(part),
        tiny=part.get("tiny", False),
    )


def circumstances(part: Parts) -> str:
    """Which day, how long, on which machine, by which versions."""
    machine, seconds = part.get("machine", {}), part.get("seconds")
    took = [] if seconds is None else [f"{seconds} s" if seconds < 120 else f"{seconds / 60:,.0f} minutes"]
    where = f"{machine.get('cpu', 'unknown machine')}, {machine.get('cores', '?')} cores"
    versions = ", ".join(f"{name} {version}" for name, version in part.get("versions", {}).items())
    return "; ".join([part.get("date", "")[:10], *took, where, versions])


def _table(part: Parts, view: View, first: Mapping[str, int], name: str) -> Table:
    rows = [row for row in part["figures"] if view.keep(row)]
    if view.sort:
        rows = ordered([*rows, *_ceiling_row(part)])
    columns = _columns(rows, view)
    said = {*columns, *WRONG} - {"family", "method"}
    counts = {column: max((row.get(f"{column} n", 0) for row in rows), default=0) for column in columns}
    heads = [
        column + ", judged on" * (f"{column}, chosen on" in columns) + f", n {n}" * bool(n) for column, n in counts.items()
    ]
    made = [
        Row(
            [cell(row, column, counts[column]) for column in columns],
            family(row),
            row.get("budget", first.get(row.get("method", ""))),
        )
        for row in rows
        if any(row.get(column) is not None for column in said)
    ]
    told = tuple(f"{column}{word}" for column in columns for word in (" beside ", ": there is nothing to compare"))
    return Table(name, columns, heads, made, [note for note in part.get("notes", []) if note.startswith(told)])


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


def is_limit(row: Figure) -> bool:
    """Whether it is no method, but what methods are held against: the ceiling that noise leaves, a fit of many ablations."""
    return any(word in str(row.get("method")) for word in ("ceiling", "linear fit"))


def limit(part: Parts) -> tuple[str, float] | None:
    """The name and LDS of the row that is a limit, or what a note says of the ceiling."""
    values = [(str(row["method"]), number(row.get("LDS"))) for row in part["figures"] if is_limit(row)]
    said = [re.search(r"(?:ceiling|allows an LDS)[^.\d]*(0?\.\d+)", note) for note in part["notes"]]
    values += [("ceiling", float(match[1])) for match in said if match]
    return next(((name, value) for name, value in values if value is not None), None)


def _ceiling_row(part: Parts) -> list[Figure]:
    """A row for a ceiling that a part has beside its rows."""
    found = limit(part)
    known = found is None or any(is_limit(row) for row in part["figures"])
    return [] if known else [{"method": "ceiling", "LDS": found[1]}]


def _columns(rows: Sequence[Figure], view: View) -> list[str]:
    """What is shown. Intervals stand in the cell of what they are of."""
    there = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, list))
    found = [name for name in there if name not in WRONG and not name.endswith(BESIDE)]
    if not view.sort:
        return [name for name in view.columns or found if name in found]
    names = [name for name in ("family", "method") if "method" in found]
    if all(family(row) == REFERENCE for row in rows):
        names = names[1:]
    found = [name for name in found if name not in ("family", "method", "of")]
    return names + ([name for name in view.columns if name in found] if view.columns else found[: WIDEST - len(names)])


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None


def cell(row: Figure, column: str, usual: int = 0) -> Cell:
    """A cell: the number with its interval (and its n, unless it is the usual one), words, or what went wrong."""
    value: Any = row.get(column)
    if column == "family":
        return Cell(family(row))
    if (amount := number(value)) is not None:
        bounds = "" if column.endswith(", chosen on") else row.get(f"{column} 95 %") or ""  # it stands there for comparison
        interval = re.sub(r"-?\d+\.\d+", lambda found: short(float(found[0])), bounds)
        n = row.get(f"{column} n", usual)
        interval = "; ".join([interval] * bool(interval) + [f"n {n}"] * (n != usual))
        shown = as_bytes(amount) if "bytes" in column else short(value)
        return Cell(f"{shown} ({interval})" if interval else shown, amount)
    if value is not None and not isinstance(value, float):
        leading = re.match(r"[+-]\d+\.\d+", str(value))  # a difference with its interval
        return Cell(str(value), float(leading[0]) if leading else None)
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


def markdown(part: Part, titled: bool = False) -> str:
    """The part's tables, what went wrong, what is left out, and how it was measured."""
    lines = ["**TINY: shows that everything runs, and nothing else.**", ""] * part.tiny
    for table in part.tables:
        lines += [f"**{table.title}**", ""] * bool(titled and table.title) + [_grid(table), ""]
        lines += [word for line in table.real for word in (plain(line), "")]
    lines += [f"- {plain(line)}" for line in part.wrong] + [""] * bool(part.wrong)
    more = f" Not shown: {plain('; '.join(part.left_out))}." if part.left_out else ""
    command = part.command.replace("`", "'")
    return "\n".join([*lines, f"`{' '.join(command.split())}`, {plain(part.circumstances)}.{more}"])


def _grid(table: Table) -> str:
    cells = [table.heads, *[[cell.text for cell in row.cells] for row in table.rows]]
    safe = [[plain(text).replace("|", "\\|") for text in row] for row in cells]
    widths = [max(len(row[i]) for row in safe) for i in range(len(table.columns))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in safe]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def plain(text: str) -> str:
    """One line of Markdown in which no tag begins."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
