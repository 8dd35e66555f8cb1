"""What it takes to make a result again: the command line, what it read, its models, and the versions of what ran."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click

from llmattr.cli.given import given_inputs, pieces
from llmattr.core.files import digest
from llmattr.core.versions import versions
from llmattr.errors import LlmattrError
from llmattr.text.readers.finding import matches

# Where results go and what is kept on the way: no part of what a command computes, and elsewhere when it runs again.
OUTPUTS = ("--json", "--html", "--junit", "--write-masks", "--out", "--cache", "--no-cache")

MODEL = ("dtype", "model_hash", "tokenizer_hash")  # what tells a model from others of its name


GROUPS = {  # what one wants to do: the commands for it, and where each is
    "Say where an answer came from in its context": {"cite": "cite:cite", "check": "check:check", "serve": "serve:serve"},
    "Say which training rows taught it": {"trace": "trace:trace", "curate": "curate:curate"},
    "Say which parts of the model carry it": {
        "components": "components:components",
        "features": "features:features",
        "edit": "edit:edit",
    },
    "Judge scores, and make results again": {
        "certainty": "runs:certainty",
        "stability": "runs:stability",
        "eval": "evaluate:evaluate",
        "rerun": "rerun:rerun",
    },
    "Prepare and tidy": {"cache": "cache:cache", "fit-heads": "heads:fit_heads"},
}
COMMANDS = {name: place for group in GROUPS.values() for name, place in group.items()}


class Remembering(click.Group):
    """The group of all commands: it imports the one that is called, and remembers the line that it was called with."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        return resolve_name(f"{__package__}.{COMMANDS[cmd_name]}") if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under what one wants to do."""
        room = formatter.width - 6 - max(map(len, COMMANDS))
        for heading, group in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in group]
            with formatter.section(heading):
                formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in commands if command])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the line into `meta`, which all commands see."""
        ctx.meta["line"] = list(args)
        return super().parse_args(ctx, args)


def command_record(*models: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the running command: `{arguments, inputs, models, versions}`.

    `arguments`: the line without `OUTPUTS`. `inputs`: SHA-256 of every file or folder that it reads (`digest_of`). `models`:
    of each that is loaded by its name, as its own record names it, the type and the hashes.
    """
    context = click.get_current_context()
    return {
        "arguments": without_outputs(context.meta["line"], context.command.get_params(context)),
        "inputs": {name: digest_of(name) for name in given_inputs() if name == "-" or matches(name)},
        "models": {model["model"]: {key: model[key] for key in MODEL} for model in models},
        "versions": versions(),
    }


def without_outputs(words: Sequence[str], params: Iterable[click.Parameter]) -> list[str]:
    """The line of a command with these parameters, less what it writes."""
    kept = [piece for piece in pieces(words, params) if piece[0].split("=")[0] not in OUTPUTS]
    return [word for piece in kept for word in piece]


def digest_of(name: str) -> str | None:
    """SHA-256 of a file, or of the names and files of a folder or a pattern; None for a stream (standard input), which is gone.

    Of an index it is that of its records: these have the checksums of the others, to which a question may add.
    """
    place = Path(name)
    if matched := matches(name) if name != "-" and not place.exists() else []:
        return digest({path.as_posix(): _sha256(path) for path in matched})
    if name == "-" or not (place.is_file() or place.is_dir()):
        return None
    if place.is_file():
        return _sha256(place)
    files = sorted(index_records(place) or (path for path in place.rglob("*") if path.is_file()))
    return digest({path.relative_to(place).as_posix(): _sha256(path) for path in files})


def index_records(folder: Path) -> list[Path]:
    """The run.json of an index, and of its parts where it is of several checkpoints; none where the folder is no index."""
    from llmattr.training.index.files import RUN, read_run

    with suppress(LlmattrError):
        parts = read_run(folder).get("folders", [])
        return [folder / RUN, *(folder / part / RUN for part in parts)]
    return []


def _sha256(path: Path) -> str | None:
    """None for a file that is closed to the user, which no command has read either."""
    with suppress(PermissionError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None
