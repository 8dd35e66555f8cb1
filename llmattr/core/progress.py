"""How far long work is: a bar on a terminal and in a notebook, elsewhere a line in the log now and then."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar, TypeVar

from llmattr.core.processes import is_main

T = TypeVar("T")

EVERY = 30  # seconds between two lines, and before the first
SOON = 1.0  # seconds before a bar is shown
_UNWANTED: ContextVar[Callable[[], bool]] = ContextVar("_UNWANTED", default=lambda: False)  # whether work is to stop
LOG = logging.getLogger(__name__)  # as any logger below warnings it is silent until somebody wants it: the command line does


class Stopped(BaseException):
    """Nobody waits for this work any more. As Ctrl-C it is no `Exception`: nothing takes it for a fault of what it called."""


@contextmanager
def until(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Within it, long work of this thread ends in `Stopped`, between two of its units, once it is unwanted."""
    token = _UNWANTED.set(unwanted)
    try:
        yield
    finally:
        _UNWANTED.reset(token)


def heed() -> None:
    """Raise `Stopped` where nobody waits for this work any more (`until`): between two units of work that has no bar."""
    if _UNWANTED.get()():
        raise Stopped


class Progress:
    """Work of `total` units, of which some may be done already: `with Progress(...) as bar: ... bar.update()`."""

    said: float | None = None  # when this process said its last line: much short work in a row is long work
    running: ClassVar[list["Progress"]] = []  # work, and the work of which it consists

    def __init__(self, total: int, what: str, units: str, done: int = 0) -> None:
        from tqdm.auto import tqdm

        self.total, self.what, self.units = total, what, units
        self.first = self.done = done
        self.started = time.monotonic()
        disable = None if _speaks() else True  # None: where there is no terminal
        self.bar = tqdm(total=total, initial=done, desc=what, unit=f" {units}", disable=disable, leave=False, delay=SOON)

    def update(self, n: int = 1) -> None:
        """So many more are done; raises `Stopped` where nobody waits for the others (`until`)."""
        self.done += n
        heed()
        self.bar.update(n)
        now = time.monotonic()
        if Progress.said is None:
            Progress.said = self.started
        if self.bar.disable and _speaks() and now - Progress.said >= EVERY:
            Progress.said = now
            LOG.info("; ".join(one.line(now) for one in Progress.running or [self]))

    def line(self, now: float) -> str:
        """`scoring: 120 of 1000 ablations, 2 min gone, about 14 min to go`."""
        gone, made = now - self.started, self.done - self.first
        to_go = f", about {_time(gone * (self.total - self.done) / made)} to go" if made else ""
        return f"{self.what}: {self.done} of {self.total} {self.units}, {_time(gone)} gone{to_go}"

    def __enter__(self) -> "Progress":
        Progress.running.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Progress.running.remove(self)
        self.bar.close()


def progress(items: Collection[T], what: str, units: str) -> Iterator[T]:
    """The items one by one, each of which is a unit of work."""
    with Progress(len(items), what, units) as bar:
        for item in items:
            yield item
            bar.update()


class _Lines(logging.Handler):
    """Writes on what standard error is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        print(f"llmattr: {record.getMessage()}", file=sys.stderr, flush=True)


def log_progress() -> None:
    """Let the lines be seen, on standard error: for commands, which may run where no one watches a bar."""
    Progress.said = None
    LOG.setLevel(logging.INFO)
    LOG.handlers, LOG.propagate = [_Lines()], False


def _speaks() -> bool:
    """Whether this process is the one that speaks: no worker of another, and the first of several."""
    return is_main() and multiprocessing.current_process().name == "MainProcess"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
