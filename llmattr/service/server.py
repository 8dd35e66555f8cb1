"""The server: a socket, uvicorn, and an end that leaves no request without an answer."""

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from llmattr.errors import LlmattrError
from llmattr.service.queue import Queue


def bound(host: str, port: int) -> socket.socket:
    """A socket of this address, taken before a model is loaded; raises `LlmattrError` where it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:
        raise LlmattrError(f"cannot serve on {host!r}: {error}") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise LlmattrError(f"cannot serve on {host} port {port}: {error.strerror}: give another --host or --port") from None
    return sock


class Server(uvicorn.Server):
    """uvicorn, which says when it is ready, and closes the queue when it is told to stop."""

    def __init__(self, app: ASGIApp, queue: Queue, ready: Callable[[], None]) -> None:
        how = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off", "proxy_headers": False}
        super().__init__(uvicorn.Config(app, log_config=None, log_level="error", server_header=False, **how))
        self.queue, self.ready = queue, ready
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Of a signal: nothing new is taken, what waits is answered 503, what is at work may end."""
        if self.loop is not None and not self.should_exit:
            self.loop.call_soon_threadsafe(self.queue.close)
        super().handle_exit(sig, frame)
