"""Options that were typed: none of them is ignored in silence."""

import click
from click.core import ParameterSource

from llmattr.errors import LlmattrError


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
