"""A model behind a chat server that only generates: OpenAI's, Anthropic's, Ollama's or llama.cpp's manner."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError, check_choice, check_number, note
from llmattr.model.apis import APIS, Api, Name, Said, Turn
from llmattr.model.connection import Connection, DeniedError, RefusedError, base_of, check_address, check_key, only_model
from llmattr.model.server import TextTokenizer, in_threads, piece_id
from llmattr.text.prompt import Rendered

SAYS, ENDS = "\U0010fffe", "\U0010ffff"  # behind a turn's role, and behind its content: no characters of any text


@dataclass(frozen=True)
class TurnTokenizer(TextTokenizer):
    """Writes a chat as its turns, from which `turns` reads it back: the server has the template."""

    @property
    def chat_template(self) -> str:
        """A name for it."""
        return "turns"

    def apply_chat_template(self, chat: Sequence[Mapping[str, Any]], **options: bool | list[Any]) -> str:
        """A chat as text; raises `LlmattrError` for calls of tools, which every server wants in a form of its own."""
        if options.get("tools") or any(turn.get("tool_calls") or turn["role"] == "tool" for turn in chat):
            raise LlmattrError("tools and their calls are not sent to a chat server")
        if any(mark in (turn["content"] or "") for turn in chat for mark in (SAYS, ENDS)):
            raise LlmattrError("a message has U+10FFFE or U+10FFFF in it, which are no characters")
        return "".join(f"{turn['role']}{SAYS}{turn['content'] or ''}{ENDS}" for turn in chat)

    def turns(self, ids: Sequence[int]) -> list[Turn]:
        """The chat that these ids spell; what stands behind the last turn (a response) is left out."""
        said = self.decode(ids).split(ENDS)[:-1]
        pairs = (turn.split(SAYS) for turn in said)
        return [{"role": role, "content": content} for role, content in pairs]


def words(_: str, response: str) -> tuple[list[int], Int[np.ndarray, "r 2"]]:
    """A response's words, each with the white space before it, and their characters."""
    found = list(re.finditer(r"\s*\S+(?:\s+\Z)?", response))
    return [piece_id(word[0]) for word in found], np.array([word.span() for word in found], dtype=int).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class ChatServer:
    """A language model behind a chat server without log-probabilities of a given answer, in place of an `LM`.

    It only generates, as far as it lets itself be asked with temperature 0. What a source does is how alike the answers
    without it still are (`SimilarityAblation`). `api` says how the server is asked (`APIS`), `api_key` is by default in the
    environment (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `OLLAMA_API_KEY`, `LLAMA_API_KEY`). Up to `concurrency` requests run at
    once. For the rest see `Connection`.
    """

    url: str
    api: Name = "openai"
    served_model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 8
    timeout: int | float = 60
    retries: int = 5
    backoff: int | float = 0.5
    _ways: list[int] = field(default_factory=list, init=False, repr=False)  # the body that was not refused

    kind = "causal"
    window = None  # the server knows it, and says so
    tokenizer = TurnTokenizer(None, words)

    def __post_init__(self) -> None:
        check_address(self.url)
        check_choice("api", self.api, get_args(Name))
        check_number("concurrency", self.concurrency, 1, whole=True)
        check_number("retries", self.retries, 0, whole=True)
        check_number("timeout", self.timeout, 1e-3)
        check_number("backoff", self.backoff, 0)

    @property
    def name(self) -> str:
        """What messages call it: the served model's name as it was given, or the server's address."""
        return self.served_model or self.url

    @cached_property
    def model(self) -> str:
        """The model's name: the one that was given, or the only one that the server lists."""
        if self.served_model is not None:
            return self.served_model
        path, rows, name = self._api.models
        try:
            listed = [str(row[name]) for row in self._connection.ask("GET", path)[rows]]
        except DeniedError:
            raise
        except (RefusedError, KeyError, TypeError):
            listed = []
        return only_model(self.url, listed)

    def record(self) -> dict[str, str]:
        """What answered, for `run`."""
        return {"model": self.model, "server": self.url, "api": self.api}

    def fingerprint(self) -> dict[str, str]:
        """What is known of the model: its name. Other weights under the same name look the same from here."""
        return self.record()

    def generate(self, ids: list[int], max_new_tokens: int = 256) -> list[int]:
        """The model's answer to a chat that its tokenizer wrote, as pieces of text; says when it was cut off."""
        text, is_whole = self.answer(self.tokenizer.turns(ids), max_new_tokens)
        if not is_whole:
            note(f"the answer was cut off at {max_new_tokens} tokens")
        return words("", text)[0]

    def score(self, requests: Sequence[Rendered]) -> Iterator[tuple[int, Float[np.ndarray, " r"]]]:
        """Refused: the server has no log-probabilities to give."""
        raise LlmattrError(
            f"the server at {self.url} is asked as {self.api}, which gives no log-probabilities of an answer: ask a model "
            "here, or vLLM or llama-cpp-python"
        )

    def answer(self, turns: Sequence[Turn], max_new_tokens: int) -> Said:
        """The model's answer to a chat; raises `LlmattrError` for a server that fails or refuses, or answers nothing."""
        check_number("max_new_tokens", max_new_tokens, 1, whole=True)
        answer = self._ask(turns, max_new_tokens)
        try:
            said = self._api.said(answer)
        except (KeyError, IndexError, TypeError, AttributeError):
            kind = f"is it one that is asked as {self.api} (--served-api)?"
            raise LlmattrError(f"the answer of {self.url} has no text where it should stand: {kind}") from None
        if not said.text.strip() and not said.is_whole:
            raise LlmattrError(
                f"{self.name} said nothing within {max_new_tokens} tokens (does it think before it speaks?): allow more "
                "(--max-new-tokens)"
            )
        return said

    def answers(self, prompts: Sequence[Rendered], max_new_tokens: int) -> Iterator[tuple[int, str]]:
        """Each prompt's number with the model's answer, in the order in which they come."""
        with Progress(len(prompts), "answering", "ablations") as bar:
            chats = [self.tokenizer.turns(prompt.ids[: prompt.response.start]) for prompt in prompts]
            for i, said in in_threads(lambda turns: self.answer(turns, max_new_tokens), chats, self.concurrency):
                yield i, said.text
                bar.update()

    def _ask(self, turns: Sequence[Turn], max_new_tokens: int) -> dict[str, Any]:
        """The first answer to one of the API's bodies; what was refused is not tried again."""
        bodies, refusal = self._api.bodies(self.model, turns, max_new_tokens), None
        for way in self._ways or range(len(bodies)):
            try:
                answer = self._connection.ask("POST", self._api.path, bodies[way])
            except DeniedError:
                raise
            except RefusedError as error:
                refusal = refusal or error
                continue
            if way and not self._ways:
                note(f"{self.name} takes no temperature: its answers are drawn by chance, and differ from one time to the next")
            self._ways[:] = [way]
            return answer
        assert refusal is not None  # every API has a body
        raise refusal

    @property
    def _api(self) -> Api:
        return APIS[self.api]

    @cached_property
    def _connection(self) -> Connection:
        key = check_key(self.api_key or os.environ.get(self._api.key, ""), self._api.key)
        base = base_of(self.url, self._api.path, "/v1", "/api")
        how = {"retries": self.retries, "backoff": self.backoff, "connections": self.concurrency}
        return Connection(base, self._api.headers(key), key, self.timeout, **how)
