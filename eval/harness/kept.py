"""Scores are kept as they come, by all that they depend on: a run that was killed goes on, and none is shown that is stale."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import llmattr
from eval import ROOT
from eval.harness.contract import Entry, Problem, Scored
from llmattr import __version__
from llmattr.core.files import digest, write
from llmattr.errors import LlmattrError, note

VERSION = 1  # of what scores and costs are


@dataclass(frozen=True)
class Kept:
    """A folder with a file for each problem and entry."""

    folder: Path

    def place(self, problem: Problem, entry: Entry) -> Path:
        """The file, named by what the scores depend on: library, entry, model, data."""
        key = digest([VERSION, __version__, problem.identity(), entry.record()])[:12]
        return self.folder / _slug(problem.name) / f"{_slug(entry.name)}.{key}.npz"

    def spent(self, seconds: float) -> float:
        """Adds seconds to those that went into what is here, in this run and in those before it; returns all of them."""
        place = self.folder / "seconds.json"
        with suppress(OSError, ValueError):
            seconds += json.loads(place.read_text())
        self.folder.mkdir(parents=True, exist_ok=True)
        write(place, json.dumps(seconds))
        return seconds

    def has(self, problem: Problem, entry: Entry) -> bool:
        """Whether nothing is left to do."""
        return self.place(problem, entry).exists()

    def scored(self, problem: Problem, entry: Entry) -> Scored:
        """The scores, made now unless they are there."""
        place = self.place(problem, entry)
        try:
            return Scored.load(place)
        except FileNotFoundError:
            pass
        except LlmattrError as error:
            note(f"{error}: they are made again")
        started = time.monotonic()
        replace(problem.score(entry), code=code()).save(place)
        self.spent(time.monotonic() - started)
        return Scored.load(place)

    def stale(self, problems: Iterable[Problem], entries: Iterable[Entry]) -> list[str]:
        """A note on scores of these entries by another version, method, model or data: they are there, and not shown."""
        entries, found = list(entries), dict[str, int]()
        for problem in problems:
            there = [path.name.rsplit(".", 2) for path in (self.folder / _slug(problem.name)).glob("*.npz")]
            current = {self.place(problem, entry).name for entry in entries}
            for entry in entries:
                old = [one for one in there if one[0] == _slug(entry.name) and ".".join(one) not in current]
                found[entry.label] = found.get(entry.label, 0) + len(old)
        told = [f"{label} ({count})" for label, count in found.items() if count]
        return [f"Older scores, by another version, method, model or data, are not shown: {', '.join(told)}."] if told else []

    def of_other_code(self, problems: Iterable[Problem], entries: Iterable[Entry]) -> list[str]:
        """A note on scores that are shown and were made by other files of the same version of the library."""
        entries, found = list(entries), Counter[str]()
        for problem in problems:
            for entry in entries:
                if self.has(problem, entry):
                    found[entry.label] += Scored.load(self.place(problem, entry)).code != code()
        told = [f"{label} ({count})" for label, count in found.items() if count]
        by = f"Scores by other code of llmattr {__version__} than this run's (--again measures them anew)"
        return [f"{by}: {', '.join(told)}."] if told else []


@cache
def code() -> str:
    """The digest of the library's and the benchmarks' own files: the version alone does not change with every commit."""
    roots = [Path(llmattr.__file__).parent, ROOT / "eval"]
    files = sorted((path.relative_to(root.parent), path) for root in roots for path in root.rglob("*.py"))
    return hashlib.sha256(b"".join(str(name).encode() + path.read_bytes() for name, path in files)).hexdigest()


def _slug(name: str) -> str:
    """A file's name of it."""
    return re.sub(r"[^\w.,=+-]+", "_", name)[:100]
