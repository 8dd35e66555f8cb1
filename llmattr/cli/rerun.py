"""`llmattr rerun`."""

import contextlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from llmattr import components, context, retraining, training
from llmattr.cli.command import MODEL, digest_of, index_records, without_outputs
from llmattr.cli.differences import differences, index_differences
from llmattr.cli.files import check_outputs, quiet, shown
from llmattr.core.files import read_record, write
from llmattr.core.kinds import TAKEN_BY, Kind
from llmattr.core.versions import versions
from llmattr.errors import LlmattrError, note
from llmattr.text.readers.finding import matches

AGAIN = ": bring it back, or run the command anew"
MAKE_RESULTS = ("check", "cite", "components", "curate", "eval", "trace")
TAKING: dict[str, Kind] = {"cite": "context", "components": "components"}  # by the command, the methods that it takes


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="keep what is made: a file, of an index a folder; FILE itself too")
@click.pass_context
def rerun(ctx: click.Context, file: Path, out: Path | None) -> None:
    """Make a result again, and say whether it is the same.

    FILE: what --json wrote, or the folder of an index. Start it where the command was run: paths are as they were given.
    A changed file or model is an error, other versions of the packages are noted. Everything is computed anew, nothing is
    taken from a cache or from kept runs. Exit code 0: the same but for the seconds; 1: not the same.
    """
    file = file.parent if file.name == "run.json" and index_records(file.parent) else file
    is_index = file.is_dir()
    commands = _commands_of_index(file) if is_index else [_command_of(file)]
    if out:
        _check_out(out, is_index, [name for command in commands for name in command["inputs"]])
    for command in commands:
        _check(command)
    with tempfile.TemporaryDirectory() as folder:
        made = (out if is_index and out else Path(folder) / "out"), Path(folder) / "result.json"
        for command in commands:
            _run(ctx.find_root().command, command["arguments"], *made)
        if is_index:
            found = index_differences(file, made[0])
        elif not made[1].exists():
            raise LlmattrError(f"the command of {str(file)!r} ({' '.join(commands[0]['arguments'])}) makes no result")
        else:
            found = differences(*(json.loads(path.read_text("utf-8")) for path in (file, made[1])))
            if out:
                write(out, made[1].read_bytes())
    click.echo("\n".join([f"not the same as {file}:", *(f"  {line}" for line in found)]) if found else f"the same as {file}")
    ctx.exit(1 if found else 0)


def _command_of(file: Path) -> dict[str, Any]:
    """The command that a result names."""
    try:
        saved = json.loads(file.read_bytes())
    except OSError as error:
        raise LlmattrError(f"cannot read {str(file)!r}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise LlmattrError(f"{str(file)!r} is no JSON: give what --json wrote, or the folder of an index") from None
    if isinstance(saved, dict) and "command" not in saved and saved.keys() >= {"method", "targets"}:
        raise LlmattrError(
            f"{str(file)!r} was made from Python, not from the command line (or by a llmattr that kept no command): only a "
            "command's result can be made again"
        )
    if not isinstance(saved, dict) or not _is_command(saved.get("command")):
        raise LlmattrError(f"{str(file)!r} is no result of llmattr: give what --json wrote, or the folder of an index")
    _check_known(saved.get("method"), saved["command"]["arguments"])
    return saved["command"]


def _check_known(method: object, arguments: Sequence[str]) -> None:
    """Raise `LlmattrError` where a command named a method of one's own, which is in a list of this package no more."""
    name = method.get("name") if isinstance(method, dict) else None
    known = {*context.METHODS, *training.METHODS, *retraining.METHODS, *components.METHODS}
    if name in arguments and name not in known:
        kind = TAKING.get(arguments[0]) or ("training" if "index" in arguments[:2] else "retraining")
        raise LlmattrError(f"the method {name!r} is none of llmattr's: give its class to {TAKEN_BY[kind]}(..., method=...)")


def _is_command(command: object) -> bool:
    """Whether it is what `command_record` makes."""
    if not isinstance(command, dict) or not command.keys() >= {"arguments", "inputs", "models", "versions"}:
        return False
    texts, *dicts = (command[name] for name in ("arguments", "inputs", "models", "versions"))
    is_line = isinstance(texts, list) and all(isinstance(word, str) for word in texts)
    if not is_line or not all(isinstance(one, dict) for one in dicts):
        return False
    return all(isinstance(model, dict) and model.keys() >= set(MODEL) for model in command["models"].values())


def _commands_of_index(folder: Path) -> list[dict[str, Any]]:
    """The commands that made an index: one, and one for each time that rows were appended."""
    from llmattr.training.index.files import RUN, read_run

    if not (folder / RUN).exists():
        raise LlmattrError(f"{str(folder)!r} is no index: give one, or what --json wrote")
    read_run(folder)  # which says what is wrong with it
    records = index_records(folder)
    run = read_record(records[min(1, len(records) - 1)])
    commands = run.get("commands", [])
    for command in commands:
        _check_known(run["method"], command["arguments"])
    if len(commands) != len(run["parts"]):
        made = "was made from Python" if not commands else "was partly made from Python"
        raise LlmattrError(f"{str(folder)!r} {made}, not from the command line: only what commands made can be made again")
    return commands


def _check_out(out: Path, is_index: bool, inputs: Sequence[str]) -> None:
    if not is_index:
        check_outputs(tuple(name for name in inputs if name != "-"), [out])
    elif out.exists():
        raise LlmattrError(f"cannot write {str(out)!r}: it is there already, and an index is made in a new folder")


def _check(command: Mapping[str, Any]) -> None:
    """Raise `LlmattrError` where what was read, or a model, is not what it was; note other versions of the packages."""
    for name, digest in command["inputs"].items():
        if digest is None:
            raise LlmattrError(f"{shown(name)} was a stream, which is gone: write it to a file, and run the command on that")
        if not matches(name):
            raise LlmattrError(f"{shown(name)!r} is not here: start rerun where the command was run, or bring it back")
        if digest_of(name) != digest:
            raise LlmattrError(f"{shown(name)!r} was changed since the result was made{AGAIN}")
    now = versions()
    other = [f"{name} {was} then, {now.get(name)} now" for name, was in command["versions"].items() if now.get(name) != was]
    if other:
        note(f"other versions, so numbers may differ: {'; '.join(other)}")
    for name, saved in command["models"].items():
        _check_model(name, saved)


def _check_model(name: str, saved: Mapping[str, str]) -> None:
    quiet()
    from llmattr.model.lm import LM

    lm = LM.load(name, saved["dtype"])
    # Where training began with new weights, the hash is of the configuration alone.
    now = [{"dtype": lm.record()["dtype"], **lm.fingerprint(weights)} for weights in (True, False)]
    if {key: saved[key] for key in MODEL} not in now:
        raise LlmattrError(f"the model {name!r} is another one than when the result was made{AGAIN}")


def _run(root: click.Command, arguments: Sequence[str], out: Path, json: Path) -> None:
    """Run a command with new places for all that it writes, and without what it prints."""
    command, words, rest = root, [], list(arguments)
    while isinstance(command, click.Group):
        words.append(rest.pop(0) if rest else "")
        found = command.get_command(click.Context(command), words[-1])
        if words[0] not in MAKE_RESULTS or found is None:
            raise LlmattrError(f"{' '.join(words)!r} is no command that makes a result")
        command = found
    places = {"--no-cache": [], "--out": [str(out)], "--json": [str(json)]}
    has = {name for param in command.params for name in param.opts}
    fresh = [word for name, value in places.items() if name in has for word in (name, *value)]
    with contextlib.redirect_stdout(io.StringIO()):
        root.main([*words, *fresh, *without_outputs(rest, command.params)], standalone_mode=False)
