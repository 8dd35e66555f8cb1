"""Prints measures as a table with intervals, a row for each file, and writes them as JSON."""

from pathlib import Path
from typing import Any, TypedDict, Unpack

import click
import numpy as np

from llmattr import metrics
from llmattr.cli.files import write_json
from llmattr.core.arrays import read_array
from llmattr.errors import LlmattrError, note

Found = dict[str, dict[str, np.ndarray]]  # file -> measure -> a number for each target


class Judging(TypedDict):
    """What all comparisons take."""

    groups: Path | None
    seed: int
    json: Path | None


def report(
    found: Found,
    about: str,
    extra: dict[str, Any],
    closing: str = "",
    **judging: Unpack[Judging],
) -> None:
    """The table, the differences to the first file, and the JSON file where one is asked for."""
    seed, json = judging["seed"], judging["json"]
    names = list(found)
    t = len(next(iter(found[names[0]].values())))
    together = _groups(judging["groups"], t)
    _note_undefined(found)
    measures = list(dict.fromkeys(measure for of in found.values() for measure in of))
    means = {name: {m: metrics.bootstrap_interval(of[m], together, seed=seed) for m in of} for name, of in found.items()}
    first = found[names[0]]
    differences = {
        name: {m: metrics.paired_comparison(found[name][m], first[m], together, seed=seed) for m in found[name] if m in first}
        for name in names[1:]
    }
    lines = [f"Mean over {t} target{'s' * (t != 1)} [95% bootstrap interval], {about}"]
    best_first = sorted(names, key=lambda name: np.nan_to_num(-means[name][measures[0]].mean, nan=np.inf))
    lines += _table([["", *measures], *([name, *(_cell(means[name].get(m)) for m in measures)] for name in best_first)])
    if differences:
        lines += ["", f"Difference to {names[0]} on the same targets [interval], p = how likely chance gives as much"]
        lines += _table([[name, m, _versus(x)] for name, of in differences.items() for m, x in of.items()])
    lines += [closing] if closing else []
    if json:
        files = {name: {m: means[name][m]._asdict() | {"per_target": of[m]} for m in of} for name, of in found.items()}
        versus = {name: {m: x._asdict() for m, x in of.items()} for name, of in differences.items()}
        whole = {"targets": t, **extra, "files": files, f"difference_to_{names[0]}": versus}
        lines.append(write_json(json, whole))
    click.echo("\n".join(lines))


def _groups(path: Path | None, t: int) -> np.ndarray | None:
    if path is None:
        return None
    groups = read_array(path, "groups [t]", (1,))
    if len(groups) != t:
        raise LlmattrError(f"there must be a group for each of the {t} targets, not {len(groups)} groups")
    return groups


def _note_undefined(found: Found) -> None:
    for name, of in found.items():
        for measure, values in of.items():
            gone = int((~np.isfinite(values)).sum())
            if gone:
                note(f"{name}: {measure} is undefined for {gone} of {len(values)} targets, which are left out")


def _cell(x: metrics.Interval | None) -> str:
    if x is None or np.isnan(x.mean):
        return "-"
    return f"{x.mean:.3f}" if np.isnan(x.low) else f"{x.mean:.3f} [{x.low:.3f}, {x.high:.3f}]"


def _versus(x: metrics.Comparison) -> str:
    if np.isnan(x.difference):
        return "-"
    bounds = "" if np.isnan(x.low) else f" [{x.low:+.3f}, {x.high:+.3f}], p {x.p_value:.2g}"
    return f"{x.difference:+.3f}{bounds}"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows]
