"""Runs as users give them: attributions, files of ours and of other tools, arrays of scores."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from llmattr.core.arrays import read_array
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError

Run = Attribution | np.ndarray | str | Path
OTHERS = "sources"  # what those of another tool are
UNIT, MEANING = "a unit of its own", "higher = more, as the tool that gave them means it"
OF_TARGETS = ("", "id", "target")  # above the column of a .csv that names the targets, also by numbers
ENDINGS = (".json", ".npy", ".npz", ".csv")


def runs_of(given: Iterable[Run]) -> list[Attribution]:
    """Every run that is given: an attribution, scores [t, n], or a file (`read_runs`), which may hold several.

    Tables stand for the sources and targets of the first attribution beside them: by their names, or in its order.
    """
    runs = [run for one in given for run in _runs(one)]
    named = next((run for run in runs if run.sources.kind != OTHERS), None)
    return runs if named is None else [_adopted(run, named) if run.sources.kind == OTHERS else run for run in runs]


def _adopted(run: Attribution, named: Attribution) -> Attribution:
    """A table's run with what an attribution knows of its sources and targets."""
    by_number = [*run.sources.ids] == _numbers(len(run.sources)) and len(run.sources) == len(named.sources)
    ids = named.sources.ids if by_number and named.index is None else run.sources.ids
    texts = dict(zip(named.sources.ids, named.sources.texts, strict=True))
    is_numbered = [*run.targets.texts] == _targets(len(run)) and len(run) == len(named)
    sources = Sources(named.sources.kind, ids, [texts.get(name, name) for name in ids])
    return replace(run, sources=sources, targets=named.targets if is_numbered else run.targets)


def _numbers(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def _targets(t: int) -> list[str]:
    return [f"target {i}" for i in range(t)]


def _runs(given: Run) -> list[Attribution]:
    match given:
        case Attribution():
            return [given]
        case np.ndarray() if given.ndim == 2:
            return [attribution_of(given.astype(float))]
        case str() | Path():
            return read_runs(Path(given))
    raise LlmattrError(f"a run is an attribution, scores [t, n] or a file of them, not {given!r:.60}")


def read_runs(path: Path) -> list[Attribution]:
    """The runs in a file: the attribution in .json of ours; scores [t, n], or [r, t, n] of r runs, in .npy or .npz; .csv.

    A line of .csv is a target and its first line names the sources; a first column names the targets where it has texts, or
    stands below no name, "id" or "target".
    """
    ending = path.suffix.lower()
    if ending == ".json":
        return [Attribution.load(path)]
    if ending == ".csv":
        return [_from_csv(path)]
    if ending not in ENDINGS:
        raise LlmattrError(f"runs are read from {', '.join(ENDINGS)} files, not from {str(path)!r}")
    found = read_array(path, "scores [t, n], or [r, t, n] of r runs", (2, 3))
    return [attribution_of(values) for values in found.reshape(-1, *found.shape[-2:])]


def _from_csv(path: Path) -> Attribution:
    import pandas as pd

    try:
        table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:  # pandas' own for what is no table, too
        raise LlmattrError(f"{str(path)!r} is no table of scores, a line for each target: {error}") from None
    (header, *lines) = table.to_numpy().tolist()
    named = int(header[0].strip().lower() in OF_TARGETS or any(_number(line[0]) is None for line in lines))
    _check_names(header[named:], path)
    if not lines or not header[named:]:
        raise LlmattrError(f"{str(path)!r} holds no scores: a line for each target is wanted, below the sources' names")
    scores = [
        [_score(cell, name, number, path) for cell, name in zip(line[named:], header[named:], strict=True)]
        for number, line in enumerate(lines, 2)
    ]
    texts = [line[0] for line in lines] if named else _numbers(len(lines))
    return attribution_of(np.array(scores), header[named:], None if texts == _numbers(len(lines)) else texts)


def _check_names(names: Sequence[str], path: Path) -> None:
    """Refuse a first line of scores, which would be lost, and names that stand for several sources."""
    for name in names:
        if _number(name) is not None and not name.strip().isdigit():
            raise LlmattrError(
                f"the first line of {str(path)!r} names the sources, and {name!r} is a score: put their names above"
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LlmattrError(f"{str(path)!r} names {twice[0]!r} several times: each source is named once")


def _score(cell: str, name: str, line: int, path: Path) -> float:
    number = _number(cell)
    if number is None or not math.isfinite(number):
        raise LlmattrError(f"{str(path)!r}, line {line}, {name!r}: {cell!r} is no finite number")
    return number


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def attribution_of(
    values: Float[np.ndarray, "t n"], sources: list[str] | None = None, targets: list[str] | None = None
) -> Attribution:
    """Scores of another tool as an attribution, its sources and targets by their names, or by their numbers from 0."""
    names = _numbers(values.shape[1]) if sources is None else sources
    said = _targets(len(values)) if targets is None else targets
    return Attribution(
        values, Sources(OTHERS, names, names), Targets(said, measure="value"), UNIT, {"name": "given"}, meaning=MEANING
    )
