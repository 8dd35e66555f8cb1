"""Many rows of one command: the model is loaded once, each row is kept as it comes, a bad one is an error in its own line."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from llmattr.cli.files import read
from llmattr.core.files import digest, write
from llmattr.core.plain_json import json_text
from llmattr.core.processes import several
from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError

Row = Mapping[str, Any]
Result = dict[str, Any]


def answered(questions: str, out: Path, how: object, work: Callable[[Row], Result]) -> list[Result]:
    """What `work` gives of each JSON line of a file, a line of `out` each; what an earlier run left there is not made again.

    A line of `out` has the row's `line` and `id`, the `key` of row and command (`how`), and the result, or an `error`, which is
    tried again the next time. Raises `LlmattrError` where `out` holds results of other rows or of another command.
    """
    rows = [(number, line) for number, line in enumerate(read(questions).split("\n"), 1) if line.strip()]
    if not rows:
        raise LlmattrError(f"{questions!r} has no rows: give a JSON object a line")
    keys = [digest([how, number, line])[:16] for number, line in rows]
    results = _kept(out, keys)
    with Progress(len(rows), "questions", "questions", done=len(results)) as bar, out.open("a", encoding="utf-8") as file:
        for (number, line), key in zip(rows, keys, strict=True):
            if key not in results:
                results[key] = {"line": number, "key": key, **_one(line, work)}
                file.write(json_text(results[key], None) + "\n")
                file.flush()
                bar.update()
    return [results[key] for key in keys]


def _kept(out: Path, keys: Iterable[str]) -> dict[str, Result]:
    """The results of an earlier run, and `out` with these alone: no errors, nothing that was cut off by a kill."""
    if not out.exists():
        return {}
    lines = out.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # no other break of lines: texts have them
    found = [one for line in lines if line and (one := _parsed(line)) is not None]
    known, strange = set(keys), [one for one in found if "key" not in one]
    if strange or any(one["key"] not in known for one in found) or len(found) < len(lines) - 1:
        raise LlmattrError(f"{str(out)!r} holds something else, or results of other rows or options: give another file")
    kept = {one["key"]: one for one in found if "error" not in one}
    write(out, "".join(f"{json_text(one, None)}\n" for one in kept.values()))
    return kept


def _parsed(line: str) -> Result | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else {}


def _one(line: str, work: Callable[[Row], Result]) -> Result:
    """A row's result, or why there is none; a batch never dies of one row."""
    row: Any = None
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise LlmattrError(f"a row must be an object, not {row!r:.60}")
        found = work(row)
    except ValueError as error:
        found = {"error": f"no JSON: {error}"} if row is None else {"error": _told(error)}
    except Exception as error:
        found = {"error": _told(error)}
    return {"id": row.get("id") if isinstance(row, dict) else None, **found}


def _told(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, (LlmattrError, OSError)) else f"{type(error).__name__}: {said}"


def text_of(row: Row, *names: str) -> str:
    """The first of these that a row has; raises `LlmattrError` where it has none, or no text."""
    found = optional(row, *names)
    if found is None:
        raise LlmattrError(f"the row has no {' or '.join(map(repr, names))}")
    return found


def optional(row: Row, *names: str) -> str | None:
    """The same, or None."""
    name = next((name for name in names if row.get(name) is not None), None)
    if name is not None and not isinstance(row[name], str):
        raise LlmattrError(f"the row's {name!r} must be a text, not {row[name]!r:.60}")
    return None if name is None else row[name]


def told(results: Iterable[Result], meanings: Mapping[Any, str], verdicts: Callable[[Result], Iterable[str]]) -> str:
    """How many rows there are, how many went wrong, and their sentences by verdict."""
    results = list(results)
    wrong = [one for one in results if "error" in one]
    counts = Counter(verdict for one in results if "error" not in one for verdict in verdicts(one))
    some = ", ".join(f"{counts[verdict]} {meaning}" for verdict, meaning in meanings.items() if counts[verdict])
    lines = [f"{len(results)} questions, {len(wrong)} of them not answered; {counts.total()} sentences: {some or 'none'}."]
    lines += [f"    line {one['line']}: {one['error']}" for one in wrong[:5]]
    lines += [f"    and {len(wrong) - 5} more"] if len(wrong) > 5 else []
    return "\n".join(lines)


def check_batch(json: Path | None) -> Path:
    """Where results go; raises `UsageError` without a place, `LlmattrError` in several processes."""
    if json is None:
        raise click.UsageError("--questions needs --json FILE: a line for each question, from which a run goes on")
    if several():
        raise LlmattrError("--questions runs in one process: give each process a part of the questions, and a file of its own")
    return json


def write_batch_page(html: Path | None, results: Iterable[Result]) -> None:
    """The page of all results, where one was asked for."""
    if html is not None:
        from llmattr.report.batch_page import batch_page

        click.echo(f"HTML page: {write(html, batch_page(list(results)))}")
