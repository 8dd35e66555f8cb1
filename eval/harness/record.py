"""What a benchmark leaves behind: figures with where and when they were measured, as JSON and as Markdown tables."""

import datetime
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from eval.harness import choices
from eval.harness.kept import code
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.core.versions import versions

Figure = dict[str, Any]  # one row of a table: column -> number or words


def circumstances(command: str) -> dict[str, Any]:
    """The command, the date, the machine with its load, and the versions: of packages, of our code, of what judges."""
    seeds = "/".join(str(choices.seed(kind)) for kind in get_args(choices.Kind))
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(), "load": _load()},
        "versions": {"python": platform.python_version(), **versions(), "code": code()[:12], "seeds": seeds},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def repeated(seconds: Sequence[float]) -> Figure:
    """The columns for a time that was measured several times: each one, the least, the median."""
    ordered = sorted(seconds)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return {"min s": ordered[0], "median s": middle, "seconds": list(seconds)}


def table(figures: Sequence[Figure], wanted: Sequence[str] = ()) -> str:
    """A Markdown table whose columns are aligned in a terminal too, those wanted or all; lists are left to the JSON."""
    there = dict.fromkeys(key for figure in figures for key, value in figure.items() if not isinstance(value, list))
    columns = [name for name in wanted or there if name in there]
    cells = [columns, *[[_cell(figure.get(column)) for column in columns] for figure in figures]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}"


def of_world(part: str) -> str:
    """Whose part of a record this is, "SET with MODEL": its table's name, before the comma; nothing for a usual run's."""
    main = part.partition(", ")[0]
    return main if " with " in main else ""


def markdown(title: str, record: Mapping[str, Any]) -> str:
    """The whole record for people: each part with its table, its notes, and how it was measured."""
    lines = [f"# {title}", ""]
    for name, part in record.items():
        machine, versions = part["machine"], ", ".join(f"{key} {value}" for key, value in part["versions"].items())
        lines += [f"## {name}", "", part["about"], ""]
        lines += [table(part["figures"]), ""] if part["figures"] else []
        lines += [f"- {note}" for note in part["notes"]] + [""] * bool(part["notes"])
        lines += [f"`{part['command']}`, {part['date']}; {machine['cpu']}, {machine['cores']} cores, load {machine['load']}"]
        lines += [f"before the start; {versions}.", ""]
    return "\n".join(lines)


def save(path: Path, title: str, parts: Mapping[str, Any], keep: Callable[[str], bool] = lambda part: True) -> None:
    """Write `path` (.json) and the Markdown beside it; `keep`: which parts stay that the file has and this run has not."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    record = {**{name: part for name, part in before.items() if keep(name)}, **parts}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json_text(record) + "\n")
    write(path.with_suffix(".md"), markdown(title, record))
