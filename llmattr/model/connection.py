"""A connection to a server: JSON requests that are tried again, sent to the address that was named and to no other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    import urllib3

LONGEST_WAIT = 60  # seconds before a further try


class RefusedError(LlmattrError):
    """The server understood and does not want to: asking again in another way may help."""


class DeniedError(RefusedError):
    """It does not want to of this user: asking in another way does not help."""


def check_address(url: str) -> None:
    """Raise `LlmattrError` for what is no server's address, or has a key or password in it, which results would show."""
    if not url.startswith(("http://", "https://")):
        raise LlmattrError(f"a server's address begins with http:// or https://, unlike {url!r}")
    parts = urlsplit(url)
    if parts.username is not None or parts.query:
        raise LlmattrError(
            f"the address of the server at {parts.hostname} has a user or options in it, which results would show: give "
            "http://host:port/path alone, and the key in the environment"
        )


def check_key(key: str, name: str) -> str:
    """A key without the white space around it; raises `LlmattrError` for one that cannot be sent, without showing it."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise LlmattrError(f"{name} has characters that no key has (a line break, say): set it anew")
    return key


@dataclass(frozen=True, eq=False)
class Connection:
    """Requests to a server at `base`, several at once.

    A connection that fails or breaks, a time-out, 429 and 5xx are tried `retries` times again, after `backoff * 2**k` seconds
    and a little more, or when the server's Retry-After says so. Redirections are not followed, since they lead elsewhere.
    `headers` are sent with every request; no message shows `key`, which is in them.
    """

    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str = field(default="", repr=False)
    timeout: int | float = 60
    retries: int = 5
    backoff: int | float = 0.5
    connections: int = 8

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The server's answer to a request; raises `LlmattrError` where there is none."""
        import urllib3

        url = f"{self.base}{path}"
        try:
            # Where no one is at home at the beginning, no one will be in ten seconds.
            retry = self._retry if body else self._retry.new(connect=0)
            options = {"json": body, "headers": dict(self.headers), "retries": retry, "redirect": False}
            answer = self._pool.request(method, url, **options)
        except urllib3.exceptions.HTTPError as error:
            raise LlmattrError(self._why(url, error)) from None
        if answer.status >= 300:
            raise self._failed(url, answer.status, answer.data)
        try:
            return answer.json()
        except ValueError:
            said = self._said(answer.data)
            raise LlmattrError(f"{url} answered no JSON but {said}: is it an OpenAI-compatible server?") from None

    def _failed(self, url: str, status: int, body: bytes) -> LlmattrError:
        if status < 400:
            return LlmattrError(f"{url} answered {status}: it leads elsewhere, and nothing is sent there: name that address")
        if status in (401, 403):
            return DeniedError(f"{url} answered {status}: {self._said(body)}")
        if status < 500 and status != 429:
            return RefusedError(f"{url} answered {status}: {self._said(body)}")
        return LlmattrError(f"{url} answered {status}, {self.retries + 1} times: {self._said(body)}")

    def _said(self, body: bytes) -> str:
        said = message_of(body)
        return said.replace(self.key, "***") if self.key else said

    @cached_property
    def _retry(self) -> "urllib3.Retry":
        import urllib3

        return urllib3.Retry(
            self.retries,
            allowed_methods=None,
            status_forcelist=[429, *range(500, 600)],
            raise_on_status=False,
            backoff_factor=self.backoff,
            backoff_jitter=self.backoff,
            backoff_max=LONGEST_WAIT,
            retry_after_max=LONGEST_WAIT,
        )

    @cached_property
    def _pool(self) -> "urllib3.PoolManager":
        from urllib.request import getproxies, proxy_bypass

        import urllib3

        settings: dict[str, Any] = {"timeout": float(self.timeout), "maxsize": self.connections}
        parts = urlsplit(self.base)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        return urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)

    def _why(self, url: str, error: Exception) -> str:
        from urllib3 import exceptions

        reason = (error.reason if isinstance(error, exceptions.MaxRetryError) else None) or error
        if isinstance(reason, exceptions.TimeoutError) and not isinstance(reason, exceptions.NewConnectionError):
            less = "allow more (timeout=) or ask for less at once (concurrency=)"
            return f"{url} did not answer within {self.timeout:g} s, {self.retries + 1} times: {less}"
        if isinstance(reason, exceptions.ProtocolError):
            return f"{url} broke the connection, {self.retries + 1} times: {reason.args[0]}"
        return f"cannot reach {url}: {str(reason).rsplit(': ', 1)[-1]}; is a server running there?"


def base_of(url: str, *paths: str) -> str:
    """An address without what the paths of requests begin with, where the user named it, too: `/v1`, say."""
    base = url.rstrip("/")
    for path in paths:
        base = base.removesuffix(path)
    return base


def only_model(url: str, listed: Sequence[str]) -> str:
    """The one model that a server has; raises `LlmattrError` where it has several, or does not say."""
    if len(listed) != 1:
        there = f"it has {', '.join(listed)}" if listed else "it does not list them"
        raise LlmattrError(f"which model of the server at {url}? {there}: name one (served_model=, --served-model)")
    return listed[0]


def message_of(body: bytes) -> str:
    """The message in an error's body, in whichever place servers put it."""
    text = body.decode("utf-8", errors="replace").strip()
    try:
        said = json.loads(text)
        for name in ("error", "detail", "message"):
            said = said.get(name, said) if isinstance(said, dict) else said
        text = said if isinstance(said, str) else json.dumps(said)
    except ValueError:
        pass
    return " ".join(text.split())[:300] or "nothing"
