"""Reads what `llmattr eval` judges and judges by: scores, masks with outputs, gold sources."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.arrays import read_array
from llmattr.core.citing import UNITLESS
from llmattr.errors import LlmattrError, note


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one file: of all n sources, or with `rows` [t, k] of those that it lists.

    `ends`: it lists the highest and the lowest, half of each (`llmattr trace`), else the highest alone.
    """

    name: str
    values: Float[np.ndarray, "t k"]
    rows: Int[np.ndarray, "t k"] | None = None
    ends: bool = False
    n: int | None = None
    baseline: Float[np.ndarray, " t"] | None = None
    cited: Bool[np.ndarray, "t k"] | None = None
    run: dict[str, Any] = field(default_factory=dict)

    def highest(self, n: int) -> int:
        """How many of the highest of n scores are known."""
        k = self.values.shape[1]
        return k // 2 if self.ends and k < n else k

    def dense(self, n: int, of: np.ndarray, rest: bool | float | np.ndarray) -> np.ndarray:
        """Columns [t, k] as [t, n], with `rest` for the sources that are not listed."""
        if self.rows is None:
            return of
        if self.rows.size and not 0 <= self.rows.min() <= self.rows.max() < n:
            raise LlmattrError(f"{self.name} lists a source that is not among the {n} (they are numbered from 0)")
        found = np.empty((len(of), n), dtype=of.dtype)
        found[:] = rest
        np.put_along_axis(found, self.rows, of, axis=1)
        return found

    def ranked(self, n: int) -> Float[np.ndarray, "t n"]:
        """Scores whose order is right: what is not listed stands below the highest, together, and above the lowest."""
        if not self.ends or self.values.shape[1] < 2:
            return self.dense(n, self.values, -np.inf)
        middle = self.values.shape[1] // 2
        return self.dense(n, self.values, self.values[:, middle - 1 : middle + 1].mean(axis=1, keepdims=True))

    def summed(self, n: int) -> Float[np.ndarray, "t n"]:
        """Scores to add up: what is not listed counts 0."""
        if self.values.shape[1] < n:
            note(f"{self.name} lists {self.values.shape[1]} of {n} sources for each target: the others count 0")
        return self.dense(n, self.values, 0.0)


class Seen(NamedTuple):
    """Outputs under masks: means over runs, and the runs of the masks that have two or more; `per_mask` runs on average."""

    masks: Bool[np.ndarray, "m n"]
    outputs: Float[np.ndarray, "m t"]
    replicates: Float[np.ndarray, "k r t"] | None = None
    per_mask: float = 1


def read_scores(paths: tuple[Path, ...]) -> list[Scored]:
    """The files' scores, all with the same number of targets, named by the files."""
    short = [path.name for path in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise LlmattrError("a file of scores is given twice")
    scored = [_scores(path, name) for path, name in zip(paths, names, strict=True)]
    for one in scored[1:]:
        if len(one.values) != len(scored[0].values):
            raise LlmattrError(
                f"{one.name} has {len(one.values)} targets and {scored[0].name} {len(scored[0].values)}: they must be the same"
            )
    return scored


def _scores(path: Path, name: str) -> Scored:
    if path.suffix.lower() == ".npy":
        values = np.atleast_2d(read_array(path, "scores [t, n]", (1, 2)))
        return Scored(name, values, n=values.shape[1], cited=values == 1 if np.isin(values, (0, 1)).all() else None)
    if path.suffix.lower() != ".json":
        raise LlmattrError(f"scores are read from .npy and .json files, not from {str(path)!r}")
    saved = _json(path)
    try:
        if not isinstance(saved, dict):
            raise TypeError(f"{saved!r:.40} is no object")
        return _from_json(saved, name)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise LlmattrError(
            f"{str(path)!r} holds no scores ({type(error).__name__}: {error}): it must be what llmattr saved, or "
            '{"targets": [{"values": [...], "index": [...]}, ...]}'
        ) from None


def _from_json(saved: dict[str, Any], name: str) -> Scored:
    targets = saved["targets"]
    values = np.array([target["values"] for target in targets], dtype=float)
    if values.ndim != 2 or not values.size:
        raise ValueError("no targets with values")
    if not np.isfinite(values).all():
        raise ValueError("its scores are not all numbers")
    rows = columns = None
    if "index" in targets[0]:
        columns = np.array([target["index"] for target in targets])
        ids = [source["id"] for source in saved["sources"]] if "sources" in saved else None
        rows = (columns if ids is None else np.array([int(one) for one in ids])[columns]).astype(int)
        if rows.shape != values.shape or any(len(set(row)) < len(row) for row in rows.tolist()):
            raise ValueError("each target's index must name one source for each value, none twice")
    cited = np.array([t["cited"] for t in targets], dtype=bool) if "cited" in targets[0] else None
    if cited is not None and cited.shape != values.shape:
        raise ValueError("cited must be true or false for each value")
    has_unit = saved.get("cites", True) and saved.get("measure", "value") not in UNITLESS
    return Scored(
        name,
        values,
        rows,
        ends=rows is not None and saved.get("kind") == "training rows",
        n=values.shape[1] if rows is None else saved.get("run", {}).get("n"),
        baseline=np.array([t["baseline"] for t in targets], dtype=float) if targets[0].get("baseline") is not None else None,
        cited=cited if has_unit else None,
        run=saved.get("run", {}),
    )


def _flags(path: Path, what: str, dimensions: tuple[int, ...]) -> Bool[np.ndarray, "a b"]:
    found = np.atleast_2d(read_array(path, what, dimensions))
    if not np.isin(found, (0, 1)).all():
        raise LlmattrError(f"{str(path)!r} must hold only 0 and 1: {what}")
    return found == 1


def read_seen(masks: Path | None, outputs: Path | None, runs: Path | None, scored: Sequence[Scored]) -> Seen:
    """What was seen under masks, of the scores' targets: from two arrays, or from a folder of runs."""
    t = len(scored[0].values)
    if runs is not None and masks is None and outputs is None:
        seen = _from_runs(runs, scored)
    elif masks is not None and outputs is not None and runs is None:
        seen = _from_arrays(masks, outputs)
    else:
        raise LlmattrError("give --masks with --outputs, or --runs with a folder, and not both")
    if seen.outputs.shape[1] != t:
        raise LlmattrError(f"the outputs are of {seen.outputs.shape[1]} targets, the scores of {t}")
    return seen


def _from_arrays(masks_path: Path, outputs_path: Path) -> Seen:
    masks = _flags(masks_path, "masks [m, n], 1 = the source is kept", (2,))
    found = read_array(outputs_path, "outputs [m, t], or [m, r, t] of r runs of each mask", (1, 2, 3))
    found = found[:, None] if found.ndim == 1 else found
    if len(found) != len(masks):
        raise LlmattrError(f"there are {len(masks)} masks {list(masks.shape)} and {len(found)} outputs {list(found.shape)}")
    if found.ndim == 2:
        return Seen(masks, found)
    runs = found.shape[1]
    return Seen(masks, found.mean(axis=1), found if runs > 1 else None, runs)


SAME = ("data_hash", "queries_hash", "measure", "mean", "recipe")  # of runs and the scores they judge


def _from_runs(folder: Path, scored: Sequence[Scored]) -> Seen:
    from llmattr.core.files import read_record
    from llmattr.retraining.store import RunStore

    known = {place.parent: read_record(place) for place in sorted([*folder.glob("run.json"), *folder.glob("*/run.json")])}
    if not known:
        raise LlmattrError(f"{str(folder)!r} holds no runs (the --out folder of llmattr trace datamodel)")
    differ = {place: _difference(record, scored) for place, record in known.items()}
    parts = [place for place, difference in differ.items() if difference is None]
    if not parts:
        raise LlmattrError(f"the runs in {str(folder)!r} are others than the scores': {next(iter(differ.values()))}")
    if len(parts) > 1:
        raise LlmattrError(f"{str(folder)!r} holds {len(parts)} sets of such runs: name one of {', '.join(map(str, parts))}")
    groups: dict[bytes, list[Any]] = {}
    for run, outputs in RunStore(parts[0]).runs():
        groups.setdefault(run.mask.tobytes(), []).append(outputs)
    if not groups:
        raise LlmattrError(f"{str(parts[0])!r} holds no finished run")
    note("these runs are a fair test only of methods that were not fitted on them")
    masks = np.array([np.frombuffer(mask, dtype=bool) for mask in groups])
    outputs = np.array([np.mean(found, axis=0) for found in groups.values()])
    counts = np.array([len(found) for found in groups.values()])
    r = counts[counts > 1].min(initial=counts.max())
    several = np.array([found[:r] for found in groups.values() if len(found) >= r]) if r > 1 else None
    return Seen(masks, outputs, several, float(1 / np.mean(1 / counts)))


def _difference(record: dict[str, Any], scored: Sequence[Scored]) -> str | None:
    """In what the runs are others than those of the scores, if both say so."""
    for one in scored:
        for key in SAME:
            if key in one.run and key in record and one.run[key] != record[key]:
                return f"{key} {record[key]!s:.60}, of {one.name} {one.run[key]!s:.60}"
    return None


def read_gold(path: Path, t: int, n: int | None) -> Bool[np.ndarray, "t n"]:
    """0/1 [t, n] from .npy, or from row numbers: a list for each target in .json, one on each line of .jsonl."""
    is_array = path.suffix.lower() == ".npy"
    gold = _flags(path, "gold [t, n], 1 = the source is right", (1, 2)) if is_array else _gold_lists(path, n)
    if len(gold) != t or gold.shape[1] != (n or gold.shape[1]):
        raise LlmattrError(f"the gold is {list(gold.shape)} (targets, sources), the scores are {[t, n or gold.shape[1]]}")
    return gold


def _gold_lists(path: Path, n: int | None) -> Bool[np.ndarray, "t n"]:
    if path.suffix.lower() not in (".json", ".jsonl"):
        raise LlmattrError(f"gold is read from .npy, .json and .jsonl files, not from {str(path)!r}")
    lists = _json(path)
    whole = isinstance(lists, list) and all(isinstance(rows, list) and all(type(i) is int for i in rows) for rows in lists)
    if not whole or not lists:
        raise LlmattrError(f"{str(path)!r} must hold a list of row numbers for each target, like [[3, 17], [5]]")
    if n is None:
        raise LlmattrError("how many sources are there? The scores list only some, so say it with --n-sources")
    if not all(0 <= i < n for rows in lists for i in rows):
        raise LlmattrError(f"{str(path)!r} names a row that is not among the {n} sources (they are numbered from 0)")
    return np.array([np.isin(np.arange(n), rows) for rows in lists])


def _json(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text)
    except OSError as error:
        raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError:
        raise LlmattrError(f"{str(path)!r} is not JSON") from None


def n_sources(scored: list[Scored], given: int | None, gold_or_masks: int | None = None) -> int | None:
    """How many sources there are: all that say it must agree; None where none does."""
    known = {one.name: one.values.shape[1] if one.rows is None else one.n for one in scored}
    known |= {"--n-sources": given, "what they are judged by": gold_or_masks}
    said = {name: n for name, n in known.items() if n is not None}
    if len(set(said.values())) > 1:
        raise LlmattrError(f"the numbers of sources differ: {', '.join(f'{n} in {name}' for name, n in said.items())}")
    return next(iter(said.values()), None)
