"""`llmattr cache`."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from llmattr.errors import LlmattrError


@click.group(invoke_without_command=True)
@click.option("--cache", type=click.Path(path_type=Path), help="the folder; LLMATTR_CACHE, or the user's cache, without it")
@click.pass_context
def cache(context: click.Context, cache: Path | None) -> None:
    """Show where `llmattr cite` keeps scored ablations and how much room they take, or clear them.

    Above LLMATTR_CACHE_LIMIT gigabytes (1 without it; inf = no limit) what was not used for longest is removed.
    """
    from llmattr.context.removal.cache import kept, limit, place

    context.obj = folder = cache or place()
    if folder.exists() and not folder.is_dir():
        raise LlmattrError(f"the cache {str(folder)!r} is a file, not a folder")
    if context.invoked_subcommand:
        return
    files, most = kept(folder), limit()
    click.echo(f"scored ablations: {folder}")
    click.echo(f"{_size(files)}, of {most / 1e9:g} GB at most")
    if files:
        first, last = (datetime.datetime.fromtimestamp(one.used).strftime("%Y-%m-%d %H:%M") for one in (files[0], files[-1]))
        click.echo(f"used from {first} to {last}")


@cache.command()
@click.pass_obj
def clear(folder: Path) -> None:
    """Remove all of them. What runs at this moment goes on, and keeps what it scores."""
    from llmattr.context.removal.cache import shrink

    click.echo(f"removed {_size(shrink(folder, -1.0))} from {folder}")


def _size(files: Sequence[Any]) -> str:
    megabytes = sum(one.bytes for one in files) / 1e6
    return f"{len(files)} file{'s' * (len(files) != 1)} ({megabytes:.1f} MB)"
