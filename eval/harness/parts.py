"""A benchmark of several parts: which are chosen, one after the other on one thread, each printed and saved when it is done."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import click
import torch
from threadpoolctl import threadpool_limits
from transformers.utils import logging

from eval.harness.jobs import environment
from eval.harness.record import Figure, circumstances, save, table

Part = Callable[[Any], list[Figure]]  # what measures a part, from the benchmark's bench


class Noted(Protocol):
    """A bench: `notes` are what a part has to say beside its figures."""

    @property
    def notes(self) -> list[str]:
        """Lines, which a part adds to."""
        ...


def chosen(parts: Mapping[str, Part], given: str) -> list[str]:
    """The names with commas between, all of them for none; raises `BadParameter` for an unknown one."""
    names = given.split(",") if given else list(parts)
    if unknown := [name for name in names if name not in parts]:
        raise click.BadParameter(f"there is no part {unknown[0]!r}; there are {', '.join(parts)}")
    return names


@contextmanager
def quiet_thread() -> Iterator[None]:
    """One thread, no hub, no log lines."""
    os.environ.update(environment())
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with threadpool_limits(1):
        yield


def run_parts(
    title: str, parts: Mapping[str, Part], names: Sequence[str], bench: Noted, *, options: Sequence[str], out: Path
) -> None:
    """Measure the parts, print each as a table, and save it with its notes."""
    for name in names:
        how = circumstances(" ".join([f"python -m eval {title}", f"--parts {name}", *options]))
        figures, notes = parts[name](bench), list(bench.notes)
        bench.notes.clear()
        click.echo("\n".join(["", name, *([table(figures)] if figures else []), *notes]))
        record = {"about": " ".join((parts[name].__doc__ or "").split()), **how, "figures": figures, "notes": notes}
        save(out, title, {name: record})
