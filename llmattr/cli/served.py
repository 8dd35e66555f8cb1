"""The served model that a small one stands in for, and how a server is asked: options of `llmattr cite`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.answerer import Answerer
from llmattr.cli.given import refuse, typed

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution
    from llmattr.model.chat import ChatServer
    from llmattr.model.lm import LM
    from llmattr.model.served import Way
    from llmattr.model.server import ServerLM

APIS = ("completions", "openai", "anthropic", "ollama", "llamacpp")  # `Way`, which needs torch


@dataclass(frozen=True)
class Served:
    """How servers are asked, and the one whose model is compared with the model that answers."""

    served_api: "Way | None"
    agree_with: str | None
    agree_ablations: int

    def check(self, answerer: Answerer) -> None:
        """Raise `LlmattrError` for options that are of another kind of model, or do not go together."""
        if self.agree_with is None:
            answerer.check()
            refuse("there is no --agree-with", "agree_ablations")
        else:
            refuse("--agree-with compares models on one answer", "index", "rather_than")
            if answerer.server:
                refuse("--model is a server itself, which needs no stand-in", "agree_with")
        if self.agree_with is None and not answerer.server:
            refuse("--model is no server (http://...)", "served_api")

    def load(self, answerer: Answerer) -> "LM | ServerLM | ChatServer":
        """The model that answers; behind a server, by what it generates where that gives no log-probabilities."""
        return self._at(answerer.server, answerer) if answerer.server else answerer.load()

    def other(self, answerer: Answerer) -> "ServerLM | ChatServer | None":
        """The model that it is compared with."""
        return None if self.agree_with is None else self._at(self.agree_with, answerer)

    def _at(self, url: str, answerer: Answerer) -> "ServerLM | ChatServer":
        from llmattr.model.served import served

        how = {"concurrency": answerer.concurrency, "timeout": answerer.timeout}
        return served(url, self.served_api, answerer.served_model, answerer.tokenizer, **how)

    def compared(
        self, found: "Attribution", other: "ServerLM | ChatServer", *, seed: int, max_new_tokens: int, cache: Path | None
    ) -> "Attribution":
        """The result with how well its model stands for the other."""
        from llmattr.context.agree import agreement

        how = {"max_new_tokens": max_new_tokens, "cache": cache}
        return replace(found, agreement=agreement(found, other, self.agree_ablations, seed, **how))

    def said(self, answerer: Answerer, found: "Attribution", model: str) -> str:
        """What a reader must know of a model's scores of an answer that was given, where they are compared with nothing."""
        from llmattr.report.quality import stand_in

        alone = typed("response") and found.can_cite and self.agree_with is None and not answerer.server
        return f"\n{stand_in(model)}" if alone else ""


OPTIONS = (
    click.option(
        "--served-api",
        type=click.Choice(APIS),
        help="how a server is asked: completions (with log-probabilities), or a chat that only generates; found out by default",
    ),
    click.option(
        "--agree-with",
        metavar="URL",
        help="with an answer of another model: score a few ablations on its server, and say how well this model stands for it",
    ),
    click.option("--agree-ablations", type=click.IntRange(min=4), default=16, show_default=True, help="how many of them"),
)


def serving(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the options that say how servers are asked, and what is compared with them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
