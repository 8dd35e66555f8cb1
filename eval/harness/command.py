"""What the command lines of benchmarks share: how a run is named, refused and published."""

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from eval.harness.record import Figure, save, table
from llmattr.cli.files import check_folder
from llmattr.errors import LlmattrError


def plain_name(value: Any) -> Any:
    """A file or folder by its name alone: where it lies on this machine is nobody's business."""
    is_place = isinstance(value, Path) or (isinstance(value, str) and Path(value).exists())
    return Path(value).name if is_place else value


def called(what: str, model: str, usual: tuple[str, str]) -> str:
    """What the tables of another set or model are called beside the usual ones, which have no name: "SET with MODEL"."""
    asked = what, plain_name(model)
    return "" if asked == usual else " with ".join(asked)


def peer_option(known: Collection[str]) -> Callable[[Any], Any]:
    """An option that may be given several times, `--peer NAME=PYTHON` of a known name: the Pythons by their names."""

    def read(_context: Any, _parameter: Any, given: tuple[str, ...]) -> dict[str, str]:
        parts = [pair.partition("=") for pair in given]
        for name, _, python in parts:
            if name not in known or not python:
                raise click.BadParameter(f"{name!r}: give NAME=PYTHON, where NAME is one of {', '.join(known)}")
            if shutil.which(python) is None:
                raise click.BadParameter(f"{name}: there is no Python {python!r}")
        return {name: python for name, _, python in parts}

    return click.option("--peer", "peers", multiple=True, callback=read, metavar="NAME=PYTHON", help="A peer's own Python.")


def with_options(shared: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """A decorator that adds these options to a command, in this order."""

    def add(command: Any) -> Any:
        for option in reversed(shared):
            command = option(command)
        return command

    return add


def check(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that do not go together."""
    if given["tiny"] and given["out"] is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    if bool(given.get("train")) != bool(given.get("queries")):
        raise click.UsageError("--train and --queries go together")
    out = given["out"]
    if out is not None and out.suffix != ".json":
        raise click.UsageError("--out ends in .json; Markdown and more go beside it")
    if out is not None:
        try:
            check_folder(out.parent)
        except LlmattrError as error:
            raise click.UsageError(f"--out: {error}") from None
    if out is not None and out.exists():
        try:
            json.loads(out.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise click.UsageError(f"--out: {out.name} is there, and holds no results") from None


class Refused(click.ClickException):
    """One line, and exit code 2: bad input."""

    exit_code = 2


@contextmanager
def refusing() -> Iterator[None]:
    """What a user can mend becomes one line."""
    try:
        yield
    except (LlmattrError, OSError) as error:
        raise Refused(str(error)) from error


def said() -> str:
    """The command of this run with its options as they were given, without places on this machine."""
    context = click.get_current_context()
    words = [f"python -m eval {context.command.name}"]
    for parameter in context.command.params:
        name, value = parameter.name or "", context.params.get(parameter.name or "")
        source = context.get_parameter_source(name)
        if source is not click.core.ParameterSource.COMMANDLINE or name in ("out", "shared", "again"):
            continue
        if isinstance(value, dict):  # of `peer_option`
            words += [f"{parameter.opts[0]} {one}=..." for one in value]
        else:
            value = ",".join(value) if isinstance(value, list) else plain_name(value)
            flag = parameter.secondary_opts if value is False else parameter.opts
            words.append(flag[0] if isinstance(value, bool) else f"{flag[0]} {value}")
    return " ".join(words)


class Section(NamedTuple):
    """A table of the results, with what it is about and notes. `columns`: those that are printed; without any it is not."""

    about: str
    figures: list[Figure]
    notes: Sequence[str] = ()
    columns: Sequence[str] = ()


def beside(sections: Mapping[str, Section], of: str) -> dict[str, Section]:
    """The sections of a run as they are called beside those of others; without a name as they are."""

    def called(name: str) -> str:
        return name.replace("table", of) if name.startswith("table") else f"{of}, {name}"

    return {called(name) if of else name: one for name, one in sections.items()}


def publish(
    title: str,
    sections: Mapping[str, Section],
    how: Mapping[str, Any],
    out: Path,
    stays: Callable[[str], bool] = lambda part: False,
) -> None:
    """Print the sections that have something to say, and save those that have figures in place of what was there.

    What an earlier run left goes, so that no table stands beside one of other data, but parts that are told to stay.
    """
    for name, (_, figures, notes, columns) in sections.items():
        if columns:
            click.echo("\n".join(["", name, *([table(figures, columns)] if figures else []), *notes]))
    click.echo(
        f"\nAll columns, single sets, agreement: {plain_name(out.with_suffix('.md'))}; python -m eval report makes a page."
    )
    told = {name: section for name, section in sections.items() if section.figures}
    records = {
        name: {"about": one.about, **how, "figures": one.figures, "notes": list(one.notes)} for name, one in told.items()
    }
    save(out, title, records, keep=stays)
