"""The one thread that owns the model, and the requests that wait for it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from llmattr.core.progress import Stopped, until
from llmattr.service.refused import Refused

T = TypeVar("T")

GRACE = 10.0  # seconds that what is at work has to end, once the service stops
LONGEST = 3600  # seconds after which a client is told to come back, at most


@dataclass(eq=False)
class _Job(Generic[T]):
    """Work, until nobody waits for it: then nothing holds it, nor what was sent for it."""

    work: Callable[[], T] | None


class Queue:
    """Work for one model, one after the other: at most `most` requests are here at once, each for `seconds` at most.

    All but `_run` is of the event loop's thread.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.taken = 0  # requests that have a place: the first is at work, the others wait
        self.is_open, self.closed = True, asyncio.Event()
        self._lasted = 1.0  # seconds of a piece of work, by the last ones
        self._thread = ThreadPoolExecutor(1, "llmattr")

    @property
    def waiting(self) -> int:
        """How many requests wait for another."""
        return max(0, self.taken - 1)

    @property
    def patience(self) -> int:
        """Seconds until a place is free, about."""
        return min(LONGEST, math.ceil(self._lasted * max(1, self.taken)))

    def enter(self) -> None:
        """Take a place among those that wait; raises `Refused` where none is free."""
        self._check_open()
        if self.taken >= self.most:
            raise Refused(429, f"{self.taken} requests are here already: come back in {self.patience} s", self.patience)
        self.taken += 1

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1

    async def answer(self, work: Callable[[], T], left: Awaitable[None]) -> T:
        """What the work gives, in its turn; raises what it raises, and `Refused` for a client who left, or too long work.

        Work that nobody waits for any more never starts, or stops between two passes of the model.
        """
        self._check_open()
        job = _Job(work)
        done = asyncio.wrap_future(self._thread.submit(self._run, job))
        leaving, closing = asyncio.ensure_future(left), asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait({done, leaving, closing}, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
            if done.done() and not done.cancelled():
                return done.result()
            if leaving.done():
                raise Refused(503, "the client left")
            self._check_open()
            less = "ask for less (quick, fewer documents), or come back when fewer wait"
            raise Refused(503, f"not done within {self.seconds:g} s: {less}", self.patience)
        finally:
            job.work = None
            for one in (done, leaving, closing):
                one.cancel()

    def close(self) -> None:
        """Take nothing more, give up what waits, and give what is at work `GRACE` seconds."""
        self.is_open = False
        self._thread.shutdown(wait=False, cancel_futures=True)
        asyncio.get_running_loop().call_later(GRACE, self.closed.set)

    def _check_open(self) -> None:
        if not self.is_open:
            raise Refused(503, "the service is stopping", self.patience)

    def _run(self, job: _Job[T]) -> T:
        """In the model's thread."""
        work, started = job.work, time.monotonic()
        if work is None:
            raise Stopped
        with until(lambda: job.work is None):
            found = work()
        self._lasted = (self._lasted + time.monotonic() - started) / 2
        return found
