"""The `llmattr` command. Nothing heavy is imported before the arguments are parsed."""

import io
import sys
import warnings

import click

from llmattr.cli.command import Remembering
from llmattr.errors import LlmattrError, LlmattrNote


@click.group(cls=Remembering, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="llmattr")
def cli() -> None:
    """Where did this come from? Attribute what a language model says, with evidence."""


def _show_note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, LlmattrNote):
        click.echo(f"llmattr: note: {message}", err=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 not the same (rerun), 2 bad input, 130 stopped by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    warnings.showwarning = _show_note
    warnings.simplefilter("always", LlmattrNote)
    try:
        return cli.main(args=argv, prog_name="llmattr", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _fail(error.format_message())
    except (LlmattrError, OSError) as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("llmattr: stopped", err=True)
        return 130


def _fail(message: str) -> int:
    click.echo(f"llmattr: error: {' '.join(message.split())}", err=True)
    return 2
