"""What was typed: options, none of which is ignored in silence, and names of what a command reads."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from llmattr.errors import LlmattrError

T = TypeVar("T")


def typed(*names: str) -> str:
    """Those of these options that were typed, as they are typed: `--dtype, --device`; nothing where none was."""
    context = click.get_current_context()
    options = {param.name: param for param in context.command.get_params(context)}
    given = [name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    return ", ".join(max(options[name].opts, key=len) for name in given)


def refuse(why: str, *names: str) -> None:
    """Raise `LlmattrError` where any of these was typed, since it would be of no use."""
    if said := typed(*names):
        raise LlmattrError(f"{said} would be of no use: {why}")


def taken(kind: type[T], options: dict[str, Any]) -> T:
    """An object of this dataclass, whose fields are taken out of the options."""
    return kind(**{field.name: options.pop(field.name) for field in dataclasses.fields(kind)})  # pyright: ignore[reportArgumentType]


def pieces(words: Sequence[str], params: Iterable[click.Parameter]) -> list[list[str]]:
    """A command line in pieces: an option with the word that is its value, or one word."""
    options = [param for param in params if isinstance(param, click.Option) and not param.is_flag]
    with_value = {name for option in options for name in option.opts}
    found, start = [], 0
    while start < len(words):
        end = start + (2 if words[start] in with_value else 1)
        found.append(list(words[start:end]))
        start = end
    return found


class Input(click.ParamType):
    """The name of a file or folder that is read, or of what a hub has. `given_inputs` lists all that were given."""

    def __init__(self, kind: click.ParamType = click.STRING) -> None:
        self.kind, self.name = kind, kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What its kind makes of it."""
        if ctx and value:
            ctx.meta.setdefault("inputs", []).extend([str(value), *str(value).split(",")])  # several in one: `--prior A,B`
        return self.kind.convert(value, param, ctx)


class Amount(click.FloatRange):
    """A number in a range that is one: `nan` lies in every range to click, and an endless time or size is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        found = super().convert(value, param, ctx)
        return found if math.isfinite(found) else self.fail(f"{value} is no amount.", param, ctx)


def given_inputs() -> list[str]:
    """What the running command was given to read, each once."""
    return list(dict.fromkeys(click.get_current_context().meta.get("inputs", ())))
