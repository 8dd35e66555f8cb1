"""Who may ask: no page of another site, no name that another site gave this machine, no body beyond the limit."""

import asyncio
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmattr.service.refused import Refused

HOST = re.compile(r"(\[(?P<number>[0-9a-f:.]+)\]|(?P<name>[\w.-]+))(:\d+)?")
EVERY = ("0.0.0.0", "::")  # all addresses of a machine
SENDING = 10.0  # seconds that a body may take to come
HEADERS = {  # on every response; the pages have a style of their own, no script, and nothing from elsewhere
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Guard:
    """The service behind a look at each request's `Host` and `Origin`, which a browser writes and no page can forge."""

    app: ASGIApp
    host: str  # the one that is bound
    also: frozenset[str] = frozenset()  # further names of this machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        why = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        app = self.app if why is None else JSONResponse({"error": why}, 403)
        await app(scope, receive, guarded)

    def _refusal(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(name_of(host)):
            return f"this service is not called {host[:80]!r}: start it with --allow-host to let it be"
        if origin is not None and origin.partition("://")[2] != host:
            return "a page of another site may not ask this service"
        return None

    def _is_ours(self, name: str | None) -> bool:
        if name is None or name in self.also or name in (self.host, "localhost"):
            return name is not None
        with suppress(ValueError):  # a number is no name that another site could have given
            return ip_address(name).is_loopback or (self.host in EVERY and bool(ip_address(name)))
        return self.host in EVERY and name in (socket.gethostname().lower(), socket.getfqdn().lower())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def name_of(host: str) -> str | None:
    """The name without its port; None where it is no such thing."""
    found = HOST.fullmatch(host.lower())
    return found and (found["number"] or found["name"])


async def body_of(request: Request, most: int) -> bytes:
    """The body; of more than `most` bytes no more is held. Raises `Refused` for that and for one that fails to come."""
    size, body = 0, bytearray()
    too_much = Refused(413, f"the body has more than {most / 1e6:g} MB: send less")
    if request.headers.get("expect") and _length(request.headers.getlist("content-length")) > most:
        raise too_much  # the client asks before it sends
    try:
        async with asyncio.timeout(SENDING):
            async for part in request.stream():
                size += len(part)
                body += part if size <= most else b""
    except ClientDisconnect:
        raise Refused(408, "the client left") from None
    except TimeoutError:
        raise too_much if size > most else Refused(408, f"the body did not come within {SENDING:g} s") from None
    if size > most:
        raise too_much
    return bytes(body)


def _length(said: Iterable[str]) -> int:
    return max((int(one) for one in said if one.isdecimal()), default=0)
