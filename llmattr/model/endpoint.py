"""An OpenAI-compatible completions endpoint: requests that are tried again, and the log-probabilities of a prompt's tokens."""

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from llmattr.errors import LlmattrError, did_you_mean

if TYPE_CHECKING:
    import urllib3

GREEDY = {"max_tokens": 1, "temperature": 0}  # 0 tokens are refused by some servers, and mean "no limit" to others
WAYS = (  # to ask for the log-probabilities of the prompt
    {**GREEDY, "echo": True, "logprobs": 1},  # OpenAI's
    {**GREEDY, "prompt_logprobs": 0},  # vLLM's: of the prompt's own tokens, and none beside them
)
LONGEST_WAIT = 60  # seconds before a further try


class Token(NamedTuple):
    """A token of the server: its text, empty where it is no text, and its log-probability, None for the first."""

    text: str
    logprob: float | None


class RefusedError(LlmattrError):
    """The server understood and does not want to: asking again in another way may help."""


@dataclass(frozen=True, eq=False)
class Endpoint:
    """The completions of a server at `url`, with or without `/v1` at its end.

    A connection that fails or breaks, a time-out, 429 and 5xx are tried `retries` times again, after `backoff * 2**k` seconds
    and a little more, or when the server's Retry-After says so. `model`: the only one that it serves, when it is not given.
    """

    url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: int | float = 60
    retries: int = 5
    backoff: int | float = 0.5
    connections: int = 8
    _ways: list[dict[str, Any]] = field(default_factory=list, init=False, repr=False)  # the one that worked

    def prompt_tokens(self, text: str) -> list[Token]:
        """The tokens of a text as a prompt, with their log-probabilities in nats.

        Raises `LlmattrError` for a server that gives none.
        """
        refusal, answered = None, False
        for way in self._ways or WAYS:
            try:
                answer = self._complete(text, way)
            except RefusedError as error:
                refusal = refusal or error
                continue
            answered, tokens = True, _read(answer, way)
            if any(token.logprob is not None for token in tokens):
                self._ways[:] = [way]
                return tokens
        if refusal and not answered:
            raise refusal
        raise LlmattrError(
            f"the server at {self.url} returns no log-probabilities of the prompt: it must know 'echo' with 'logprobs', as "
            "vLLM and llama-cpp-python do (python -m llama_cpp.server --logits_all true), or vLLM's 'prompt_logprobs'"
        )

    def answer(self, text: str, max_tokens: int) -> tuple[str, bool]:
        """The greedy continuation of a text, and whether it came to its end."""
        answer = self._complete(text, {**GREEDY, "max_tokens": max_tokens})
        return _of(answer, "text") or "", _of(answer, "finish_reason") != "length"

    def next_token(self, text: str) -> Token | None:
        """The likeliest next token of a text, as the server says when it generates; None where it says none."""
        given = _of(self._complete(text, {**GREEDY, "logprobs": 1}), "logprobs") or {}
        return next(iter(_tokens(given)), None)

    @cached_property
    def served_model(self) -> str:
        """The model's name, checked against the server's list where it has one."""
        try:
            listed = [str(model["id"]) for model in self._ask("GET", "models")["data"]]
        except (RefusedError, KeyError, TypeError):
            listed = []
        if self.model is None and len(listed) != 1:
            there = f"it has {', '.join(listed)}" if listed else "it does not list them"
            raise LlmattrError(f"which model of the server at {self.url}? {there}: name one (served_model=, --served-model)")
        if self.model is not None and listed and self.model not in listed:
            there = f"{did_you_mean(self.model, listed)} (there are: {', '.join(listed)})"
            raise LlmattrError(f"the server at {self.url} has no model {self.model!r}{there}")
        return self.model or listed[0]

    def _complete(self, text: str, options: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", "completions", {"model": self.served_model, "prompt": text, **options})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        import urllib3

        url = f"{self.url.rstrip('/').removesuffix('/v1')}/v1/{path}"
        key = self.api_key or os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            # Where no one is at home at the beginning, no one will be in ten seconds.
            retry = self._retry if body else self._retry.new(connect=0)
            answer = self._pool.request(method, url, json=body, headers=headers, retries=retry)
        except urllib3.exceptions.HTTPError as error:
            raise LlmattrError(self._why(url, error)) from None
        if answer.status >= 400:
            kind = LlmattrError if answer.status >= 500 or answer.status == 429 else RefusedError
            tried = "" if kind is RefusedError else f", {self.retries + 1} times"
            raise kind(f"{url} answered {answer.status}{tried}: {_said(answer.data)}")
        try:
            return answer.json()
        except ValueError:
            raise LlmattrError(f"{url} answered no JSON but {_said(answer.data)}: is it an OpenAI-compatible server?") from None

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
        from urllib.parse import urlsplit
        from urllib.request import getproxies, proxy_bypass

        import urllib3

        settings: dict[str, Any] = {"timeout": float(self.timeout), "maxsize": self.connections}
        parts = urlsplit(self.url)
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


def _read(answer: dict[str, Any], way: dict[str, Any]) -> list[Token]:
    """The tokens of the prompt in the server's answer."""
    if "prompt_logprobs" in way:
        rows = _of(answer, "prompt_logprobs") or []
        firsts: list[dict[str, Any]] = [next(iter((row or {}).values()), {}) for row in rows]
        return [_token(first.get("decoded_token"), first.get("logprob")) for first in firsts]
    usage = answer.get("usage") or {}
    tokens = _tokens(_of(answer, "logprobs") or {})
    return tokens[: len(tokens) - usage.get("completion_tokens", 1)]


def _tokens(given: dict[str, Any]) -> list[Token]:
    texts, logprobs = given.get("tokens") or [], given.get("token_logprobs") or []
    return [_token(text, logprob) for text, logprob in zip(texts, logprobs, strict=False)]


def _token(text: str | None, logprob: float | None) -> Token:
    """Bytes that are no character on their own come as replacement characters or in a notation of the server's."""
    text = text or ""
    return Token("" if "\ufffd" in text or text.startswith("bytes:") else text, logprob)


def _of(answer: dict[str, Any], name: str) -> Any:
    try:
        return answer["choices"][0].get(name)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise LlmattrError(f"the server's answer has no completion in it: {str(answer)[:200]}") from None


def _said(body: bytes) -> str:
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
