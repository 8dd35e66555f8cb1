"""A model behind a server, by its address: scored where the server gives log-probabilities, else by what it generates."""

from typing import Literal, get_args
from urllib.parse import urlsplit

from llmattr.errors import check_choice, note
from llmattr.model.apis import Name
from llmattr.model.chat import ChatServer
from llmattr.model.connection import check_address
from llmattr.model.server import ServerLM

Way = Literal["completions", "openai", "anthropic", "ollama", "llamacpp"]  # with log-probabilities, and four without
OLLAMA_PORT = 11434


def served(
    url: str,
    api: Way | None = None,
    served_model: str | None = None,
    tokenizer: str | None = None,
    *,
    concurrency: int = 8,
    timeout: int | float = 60,
) -> ServerLM | ChatServer:
    """The model at an address, asked as `api` says; None: as its host says, else scored if the server can, else as openai.

    A note says when it is not scored, and that a chat server's manner was only tried against a stand-in.
    """
    check_address(url)
    check_choice("served_api", api or "completions", get_args(Way))
    way = api or _told_by_host(url)
    if way is None or way == "completions":
        lm = ServerLM(url, served_model, tokenizer, concurrency=concurrency, timeout=timeout)
        if way == "completions" or lm.gives_logprobs:
            return lm
        way = "openai"
    lm = ChatServer(url, way, served_model, concurrency=concurrency, timeout=timeout)
    note(
        f"{lm.name} gives no log-probabilities of an answer: what counts is how alike its answers without some of the sources "
        "are to this one (a request for each ablation)"
    )
    note(f"asking as {way} was only tried against a stand-in written from its documentation (docs/stand_ins.md)")
    return lm


def _told_by_host(url: str) -> Name | None:
    parts = urlsplit(url)
    if parts.hostname == "api.anthropic.com":
        return "anthropic"
    return "ollama" if parts.port == OLLAMA_PORT else None
