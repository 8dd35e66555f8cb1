"""An OpenAI-compatible completions endpoint: requests that are tried again, and the log-probabilities of a prompt's tokens."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from llmattr.errors import LlmattrError, did_you_mean
from llmattr.model.connection import Connection, DeniedError, RefusedError, base_of, check_key, only_model

GREEDY = {"max_tokens": 1, "temperature": 0}  # 0 tokens are refused by some servers, and mean "no limit" to others
WAYS = (  # to ask for the log-probabilities of the prompt
    {**GREEDY, "echo": True, "logprobs": 1},  # OpenAI's
    {**GREEDY, "prompt_logprobs": 0},  # vLLM's: of the prompt's own tokens, and none beside them
)


class Token(NamedTuple):
    """A token of the server: its text, empty where it is no text, and its log-probability, None for the first."""

    text: str
    logprob: float | None


@dataclass(frozen=True, eq=False)
class Endpoint:
    """The completions of a server at `url`, with or without `/v1` at its end.

    `model`: the only one that it serves, when it is not given. `api_key`: the environment's OPENAI_API_KEY. For the rest see
    `Connection`.
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
        raise RefusedError(
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
        except (RefusedError, KeyError, TypeError) as error:
            if self.model is None and isinstance(error, DeniedError):
                raise
            listed = []
        if self.model is None:
            return only_model(self.url, listed)
        if listed and self.model not in listed:
            there = f"{did_you_mean(self.model, listed)} (there are: {', '.join(listed)})"
            raise LlmattrError(f"the server at {self.url} has no model {self.model!r}{there}")
        return self.model

    def _complete(self, text: str, options: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", "completions", {"model": self.served_model, "prompt": text, **options})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._connection.ask(method, f"/v1/{path}", body)

    @cached_property
    def _connection(self) -> Connection:
        key = check_key(self.api_key or os.environ.get("OPENAI_API_KEY", ""), "OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        how = {"retries": self.retries, "backoff": self.backoff, "connections": self.connections}
        return Connection(base_of(self.url, "/v1"), headers, key, self.timeout, **how)


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
