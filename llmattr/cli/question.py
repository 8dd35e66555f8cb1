"""What `llmattr trace query` is asked: a prompt with its completion, a chat, or a file of either."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from jaxtyping import Float

from llmattr.cli.files import read, shown
from llmattr.cli.given import Input, refuse, typed
from llmattr.cli.retrain import asked_for
from llmattr.core.arrays import read_array
from llmattr.errors import LlmattrError

QUESTION_OPTIONS: list[click.Parameter] = [
    click.Option(["--prompt"], default="", help="what the model was given"),
    click.Option(["--completion"], help="what it said, to be traced"),
    click.Option(["--span"], help="ask about this part of what it said alone"),
    click.Option(["--rather-than"], help="another answer: which rows taught the model to say its own and not this one"),
    click.Option(["--messages"], type=Input(), help="instead of --prompt a chat (JSON), whose last turn is traced"),
    click.Option(["--queries"], type=Input(), help="instead of these, a file of rows (also with a span, or rather_than)"),
    click.Option(["--direction"], type=Input(), help="or a direction in hidden states (.npy), of an index of rep-sim"),
    click.Option(["--layer"], type=int, help="the layer that the direction is of"),
]


@dataclass(frozen=True)
class Question:
    """The options of `QUESTION_OPTIONS`, and how a file is read."""

    prompt: str
    completion: str | None
    span: str | None
    rather_than: str | None
    messages: str | None
    queries: str | None
    direction: str | None
    layer: int | None
    split: str | None
    columns: dict[str, str] | None

    def check(self) -> None:
        """Raise `LlmattrError` for options that do not go together."""
        if self.direction is not None:
            said = ("prompt", "completion", "span", "rather_than", "messages", "queries", "split", "columns")
            refuse("--direction asks for no answer", *said, "method", "tokens", "rerank", "group_by", "foreign", "approximate")
            return
        refuse("it is that of --direction", "layer")
        if self.messages is None:
            asked_for(self.queries, self.prompt, self.completion)
        elif self.queries is not None:
            raise LlmattrError("give --messages with a chat, or --queries with a file, and not both")
        if self.messages is not None:
            refuse("--messages has what the model was given", "prompt")
        if self.queries is None:
            refuse("they are of a file (--queries)", "split", "columns")
        elif said := typed("span", "rather_than"):
            raise LlmattrError(f"{said}: of one question; give the rows of {self.queries!r} a column of that name")

    def vector(self) -> Float[np.ndarray, "..."]:
        """The direction, or several."""
        return read_array(Path(self.direction or ""), "a direction [d], or several [t, d]", (1, 2))

    def rows(self) -> list[dict[str, Any]]:
        """The questions as rows."""
        from llmattr.text.chats import chat_of
        from llmattr.text.questions import of_chat
        from llmattr.text.reading import read_queries

        if self.queries is not None:
            return read_queries(self.queries, self.split, self.columns)
        given = {"span": self.span, "rather_than": self.rather_than}
        beside = {name: value for name, value in given.items() if value is not None}
        if self.messages is None:
            return read_queries([{"prompt": self.prompt, "completion": self.completion, **beside}])
        chat = chat_of(read(self.messages), shown(self.messages))
        tools = {"tools": chat.tools} if chat.tools else {}
        return read_queries([{**of_chat(chat.messages or (), self.completion), **tools, **beside}])
