"""A model behind a server, scored through its completions endpoint. The tokens that count are the server's own."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from threading import Thread
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError, check_number, note
from llmattr.model.connection import DeniedError, RefusedError, check_address
from llmattr.model.endpoint import Endpoint, Token
from llmattr.model.loading import load_tokenizer
from llmattr.text.prompt import Rendered

A = TypeVar("A")
B = TypeVar("B")

CERTAIN = -(2.0**-24)  # log-probability of what float32 rounds to certainty; log-odds of 0 itself would be infinite
SAME = 0.01  # nats: what the same request may differ by before it is said
AGREES = 0.5  # nats: what generating and scoring the same token may differ by, on a quantised model
WIDEST = 4  # characters of a token that is no text on its own


@dataclass(frozen=True)
class TextTokenizer:
    """A stand-in for a tokenizer: a token is any piece of text, its id the piece's bytes as a number.

    Text is cut into characters; a response behind a prompt by `cut`, into its pieces and their characters [r, 2]. `source`: a
    hub id, folder or tokenizer whose chat template is used; without one there is none. The beginning of text that a template
    writes is left out where that tokenizer adds it, since so does the server.
    """

    source: Any = None
    cut: Callable[[str, str], tuple[list[int], Int[np.ndarray, "r 2"]]] | None = field(default=None, repr=False)
    is_fast = True
    bos_token_id = eos_token_id = pad_token_id = unk_token_id = None
    all_special_ids = all_special_tokens = ()
    added_tokens_decoder = MappingProxyType({})

    @cached_property
    def _chat(self) -> Any:
        return load_tokenizer(self.source) if isinstance(self.source, str) else self.source

    @property
    def chat_template(self) -> Any:
        """The chat template, or None where there is none."""
        return None if self.source is None else self._chat.chat_template

    def apply_chat_template(self, chat: Sequence[Mapping[str, Any]], **options: bool | list[Any]) -> str:
        """A chat as the text to send."""
        text, begin = self._chat.apply_chat_template(chat, **options), self._chat.bos_token
        added = self._chat("a")["input_ids"][:1] == [self._chat.bos_token_id]
        return text.removeprefix(begin) if begin and added else text

    def __call__(self, text: str = "", **_: str | bool) -> dict[str, Any]:
        """Cut a text into its characters."""
        return {"input_ids": [piece_id(c) for c in text], "offset_mapping": [(i, i + 1) for i in range(len(text))]}

    def decode(self, ids: Sequence[int], **_: bool) -> str:
        """The text of pieces."""
        return "".join(map(piece, ids))


def piece_id(text: str) -> int:
    """The number of a piece of text; a byte before it keeps what it begins with."""
    return int.from_bytes(b"\x01" + text.encode())


def piece(number: int) -> str:
    """The text of a number."""
    return number.to_bytes((number.bit_length() + 7) // 8).decode()[1:]


class Laid(NamedTuple):
    """The server's tokens in a response: their first characters [k], from 0, and log-probabilities [k] in nats."""

    starts: Int[np.ndarray, " k"]
    logprobs: Float[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class ServerLM:
    """A language model behind an OpenAI-compatible server (vLLM, llama-cpp-python), used in place of an `LM`.

    It is asked for completions with the log-probabilities of the prompt. `tokenizer` (hub id, folder or tokenizer) gives the
    chat template; without it the prompt is plain text. The text is sent, and tokens are the server's own: what counts as one
    is taken from its answer to the whole prompt (`cut`). Where it splits a response in another way under some mask, a
    token's value goes to where it begins, which leaves sums over the whole response as they are, and a note says so.
    Up to `concurrency` requests run at once; `api_key`: the environment's OPENAI_API_KEY. For the rest see `Endpoint`.
    """

    url: str
    served_model: str | None = None
    tokenizer: Any = None
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 8
    timeout: int | float = 60
    retries: int = 5
    backoff: int | float = 0.5

    kind = "causal"
    window = None  # the server knows it, and says so

    def __post_init__(self) -> None:
        source = self.tokenizer.source if isinstance(self.tokenizer, TextTokenizer) else self.tokenizer
        object.__setattr__(self, "tokenizer", TextTokenizer(source, self.cut))
        check_address(self.url)
        check_number("concurrency", self.concurrency, 1, whole=True)
        check_number("retries", self.retries, 0, whole=True)
        check_number("timeout", self.timeout, 1e-3)
        check_number("backoff", self.backoff, 0)

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where requests go, with one connection for each that runs at once."""
        return Endpoint(
            self.url,
            self.served_model,
            connections=self.concurrency,
            api_key=self.api_key,
            timeout=self.timeout,
            retries=self.retries,
            backoff=self.backoff,
        )

    @property
    def name(self) -> str:
        """What messages call it: the served model's name as it was given, or the server's address."""
        return self.served_model or self.url

    def record(self) -> dict[str, str]:
        """What answered, for `run`."""
        return {"model": self.endpoint.served_model, "server": self.url}

    def fingerprint(self) -> dict[str, str]:
        """What is known of the model: its name. Other weights under the same name look the same from here."""
        return self.record()

    @cached_property
    def gives_logprobs(self) -> bool:
        """Whether the server returns the log-probabilities of a prompt, found by asking for some."""
        try:
            return bool(self.endpoint.prompt_tokens("a b c"))
        except DeniedError:
            raise
        except RefusedError:
            return False

    def generate(self, ids: list[int], max_new_tokens: int = 256) -> list[int]:
        """The model's greedy continuation as pieces of text; says when it was cut off."""
        check_number("max_new_tokens", max_new_tokens, 1, whole=True)
        prompt = self.tokenizer.decode(ids)
        answer, is_whole = self.endpoint.answer(prompt, max_new_tokens)
        if not is_whole:
            note(f"the answer was cut off at {max_new_tokens} tokens")
        return self.cut(prompt, answer)[0] if answer else []

    def cut(self, prompt: str, response: str) -> tuple[list[int], Int[np.ndarray, "r 2"]]:
        """The server's tokens of a response behind a prompt, and their characters, after a check of the server's numbers.

        The check: a token has nearly the log-probability (to 0.5 nats) as a part of the prompt that it had when the server
        generated it. Raises `LlmattrError` when it has not.
        """
        self._check_numbers(prompt)
        starts = np.union1d([0], self._lay(prompt, response).starts)
        offsets = np.stack([starts, [*starts[1:], len(response)]], axis=1)
        return [piece_id(response[a:b]) for a, b in offsets], offsets

    def logprobs(self, requests: Sequence[Rendered]) -> list[Float[np.ndarray, " r"]]:
        """Log-probabilities in nats of each request's response tokens, given all the text before them.

        Probabilities that float32 rounds to 1 count as 1 - 2^-24. The first request is sent again at the end: a server
        whose prefix cache disturbs what it returns (vLLM #42019) says something else then, and a note tells it. Raises
        `LlmattrError` for a server that fails, refuses, or returns no log-probabilities of the tokens of the text sent.
        """
        scored = dict(self.score(requests))
        return [scored[i] for i in range(len(requests))]

    def score(self, requests: Sequence[Rendered]) -> Iterator[tuple[int, Float[np.ndarray, " r"]]]:
        """The same one by one, each with its request's number, in the order in which they come."""
        first, others = 0.0, 0
        with Progress(len(requests), "scoring", "ablations") as bar:
            for i, (logprobs, same) in in_threads(self._logprobs, requests, self.concurrency):
                first = float(logprobs.sum()) if i == 0 else first
                others += not same
                yield i, logprobs
                bar.update()
        if others:
            note(
                f"in {others} of {len(requests)} prompts the server split the response into other tokens than in the whole one"
            )
        if len(requests) > 1:
            self._check_repeats(requests[0], first)

    def _logprobs(self, request: Rendered) -> tuple[Float[np.ndarray, " r"], bool]:
        """Log-probabilities of the response's pieces, and whether the server's tokens begin where they begin."""
        decode, response = self.tokenizer.decode, request.ids[request.response]
        laid = self._lay(decode(request.ids[: request.response.start]), decode(response))
        starts = np.cumsum([0, *(len(piece(number)) for number in response)])[:-1]
        values = np.zeros(len(starts))
        np.add.at(values, np.searchsorted(starts, laid.starts, side="right") - 1, laid.logprobs)
        return values, bool(np.isin(laid.starts, starts).all())

    def _lay(self, prompt: str, response: str) -> Laid:
        """Ask the server for the tokens of prompt and response, and find those of the response in it."""
        tokens = self.endpoint.prompt_tokens(prompt + response)
        starts = token_starts(tokens, prompt + response, len(prompt))
        logprobs = [token.logprob for token in tokens[len(tokens) - len(starts) :]]
        if any(value is None or not value <= SAME for value in logprobs):  # rounding may pass 0; NaN is below nothing
            raise LlmattrError(f"the server at {self.url} gave {logprobs[:20]} as log-probabilities of {response[:60]!r}")
        # A token that begins in the prompt and ends in the response belongs to the response.
        return Laid(np.maximum(starts - len(prompt), 0), np.minimum(np.array(logprobs, dtype=float), CERTAIN))

    def _check_numbers(self, text: str) -> None:
        generated = self.endpoint.next_token(text)
        if generated is None or generated.logprob is None or not generated.text.strip():
            return
        tokens = self.endpoint.prompt_tokens(text + generated.text)
        token_starts(tokens, text + generated.text, len(text))
        if tokens[-1].text == generated.text and not abs((tokens[-1].logprob or 0.0) - generated.logprob) <= AGREES:
            raise LlmattrError(
                f"the server at {self.url} contradicts itself: {generated.text!r} has log-probability {generated.logprob:.2f} "
                f"when it generates it and {tokens[-1].logprob} in the prompt (is its prefix cache the reason?)"
            )

    def _check_repeats(self, request: Rendered, before: float) -> None:
        after = float(self._logprobs(request)[0].sum())
        if abs(after - before) > SAME:
            note(
                f"the server at {self.url} scored the same request {before:.3f} and later {after:.3f} nats: what it computes "
                "depends on what it computed before (its prefix cache, say)"
            )


def in_threads(function: Callable[[A], B], items: Sequence[A], threads: int) -> Iterator[tuple[int, B]]:
    """The function of each item, computed in threads: its number and result, in the order in which they come.

    After an error or Ctrl-C no further item is begun, and what still waits for a server does not hold up the program's end.
    """
    todo, done = deque(enumerate(items)), SimpleQueue[Any]()

    def work() -> None:
        with contextlib.suppress(IndexError):  # nothing left to do
            while True:
                i, item = todo.popleft()
                try:
                    done.put((i, function(item), None))
                except Exception as error:
                    done.put((i, None, error))

    for _ in range(min(threads, len(items))):
        Thread(target=work, daemon=True).start()
    try:
        for _ in items:
            i, result, error = done.get()
            if error is not None:
                raise error
            yield i, result
    finally:
        todo.clear()


def token_starts(tokens: Sequence[Token], text: str, first: int) -> Int[np.ndarray, " k"]:
    """Where the last k tokens begin in the text that they spell, up to the one that holds character `first`.

    From the text's end, because special tokens, which some servers leave out, stand before the response. Tokens that are no
    text on their own (parts of a character) begin together where the characters begin that no other token spells; a space
    that no token spells (Llama 2's, where a server decodes tokens one by one) belongs to the token behind it. Raises
    `LlmattrError` for tokens that do not spell the text.
    """
    starts: list[int] = []
    cursor, unread = len(text), 0
    for token in reversed(tokens):
        if cursor <= first:
            break
        if not token.text:
            unread += 1
            continue
        blank = cursor - len(text[:cursor].rstrip(" "))
        start = text.rfind(token.text, max(cursor - len(token.text) - max(WIDEST * unread, blank), 0), cursor)
        if start < 0:
            break
        end = start + len(token.text)
        if starts and not unread:
            starts[-1] = end
        starts += [end] * unread + [start] * (end > first)
        cursor, unread = start, 0
    if cursor > first:
        raise LlmattrError(
            f"shifted tokenisation: the server's tokens, ... {[token.text for token in tokens[-8:]]}, do not spell the text "
            f"sent, ... {text[-40:]!r} (llama-cpp-python loses one of a prompt that does not begin with the model's beginning "
            "of text: give a tokenizer whose chat template writes it)"
        )
    return np.array(starts[::-1], dtype=int)
