"""What the commands read and write."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr import context
from llmattr.cli.command import command_record
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, did_you_mean
from llmattr.text.readers import MOST, finding, is_pattern, read_bytes, read_files

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution
    from llmattr.origins import Origins


def read(name: str) -> str:
    """The text of a file or of standard input."""
    if name != "-" and Path(name).is_dir():
        raise LlmattrError(f"{shown(name)!r} is a folder: give a file of it")
    return "\n".join(document.text for document in documents(name))


def documents(name: str) -> list[Document]:
    """The documents of a file, a folder, a pattern or standard input (-)."""
    if name == "-":
        return [read_bytes(sys.stdin.buffer.read(MOST + 1) if sys.stdin else b"", shown(name))]
    if not (finding.exists(name) or is_pattern(name)):
        raise LlmattrError(f"{shown(name)!r} does not exist{did_you_mean(shown(name), context.METHODS)}")
    return read_files(name)


def shown(name: str) -> str:
    """A file's name as people read it."""
    return "standard input" if name == "-" else finding.shown(name)


def check_outputs(files: tuple[str, ...], outputs: list[Path]) -> None:
    """Refuse what would be lost: an output that is an input or another output, or that cannot be written."""
    if files.count("-") > 1:
        raise LlmattrError("standard input (-) is given twice")
    taken = {path.resolve() for name in files if name != "-" for path in finding.matches(name)}
    folders = [Path(name).resolve() for name in files if name != "-" and Path(name).is_dir()]
    for path in outputs:
        if any(path.resolve().is_relative_to(folder) for folder in folders):
            raise LlmattrError(f"cannot write {str(path)!r}: it would lie in a folder that is read")
        reason = "it is a folder" if path.is_dir() else "its folder does not exist or is closed to you"
        if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
            raise LlmattrError(f"cannot write {str(path)!r}: {reason}")
        if path.resolve() in taken:
            raise LlmattrError(f"cannot write {str(path)!r}: it is an input or another output")
        taken.add(path.resolve())


def check_folder(path: Path) -> None:
    """Refuse a folder that cannot be made or written, before work is done whose outcome would be lost."""
    there = next(place for place in (path.resolve(), *path.resolve().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "is closed to you" if there.is_dir() else "is a file"
        raise LlmattrError(f"cannot write into {str(path)!r}: {str(there)!r} {reason}")


def report(
    result: "Attribution | Origins",
    text: str,
    *,
    html: Path | None = None,
    json: Path | None = None,
    models: Sequence[Mapping[str, Any]] = (),
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Write the files that were asked for and print the text, in this order: who reads it may stop reading (`| head`).

    `models`: the records of those that the command loaded by their names. `beside`: what else is written as JSON.
    """
    from llmattr.core.attribution import Attribution
    from llmattr.report.json import to_dict

    written = []
    if html:
        written.append(f"HTML page: {write(html, result.html())}")
    if json:
        whole = to_dict(result) if isinstance(result, Attribution) else result.to_dict()
        written.append(write_json(json, {**whole, **(beside or {})}, models))
    click.echo("\n".join([text, *written]), color=False if os.environ.get("NO_COLOR") else None)


def write_json(path: Path, result: Mapping[str, Any], models: Sequence[Mapping[str, Any]] = ()) -> str:
    """Write a result with the command that made it, where one did (recipes have none); return the line that says so."""
    command = {"command": command_record(*models)} if click.get_current_context(silent=True) else {}
    return f"JSON: {write(path, json_text({**result, **command}))}"


def quiet() -> None:
    """No log lines and, where no one watches, no progress bars of transformers and datasets; our own lines instead."""
    import logging as standard

    from llmattr.core.progress import log_progress

    log_progress()
    standard.getLogger("urllib3").setLevel(standard.ERROR)  # it logs every further try
    # What the packages read when they are imported: a command that asks no model has no time for that.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    if not sys.stderr.isatty():
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.set_verbosity_error()
        if not sys.stderr.isatty():
            logging.disable_progress_bar()
