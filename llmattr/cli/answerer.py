"""Which model a command asks: by its name, behind a server, or that of an index; and the options that say so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.given import Amount, refuse, typed
from llmattr.core.processes import device
from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    from llmattr.model.lm import LM
    from llmattr.model.server import ServerLM
    from llmattr.training.query import TraceIndex


@dataclass(frozen=True)
class Answerer:
    """Which model answers: one by its name, or one behind a server."""

    model: str | None
    dtype: str
    device: str | None
    served_model: str | None
    tokenizer: str | None
    concurrency: int
    timeout: float

    @property
    def server(self) -> str | None:
        """Its address, where it is behind one."""
        return self.model if self.model is not None and self.model.startswith(("http://", "https://")) else None

    def check(self) -> None:
        """Raise `LlmattrError` for options that are of another kind of model."""
        if self.server:
            refuse("a server has its own type and device", "dtype", "device")
        else:
            refuse("--model is no server (http://...)", "served_model", "tokenizer", "concurrency", "timeout")

    def load(self) -> "LM | ServerLM":
        """The model, where no index names it."""
        from llmattr.model.lm import LM
        from llmattr.model.server import ServerLM

        if self.server:
            how = {"concurrency": self.concurrency, "timeout": self.timeout}
            return ServerLM(self.server, self.served_model, self.tokenizer, **how)
        return LM.load("smollm2" if self.model is None else self.model, self.dtype, self.device or device())

    def open(self, index: str) -> "TraceIndex":
        """The index with its model, which is asked in the type that the rows' gradients were computed in."""
        from llmattr.training.trace import open_index

        training = open_index(index, self.model, self.device or device())
        if not training.asks_model:
            return training
        built = training.index.run["dtype"]
        if typed("dtype") and self.dtype not in ("fast", built):
            raise LlmattrError(
                f"--dtype {self.dtype}: the index {index!r} was built in {built}, and the answer must come from the same "
                f"numbers: leave --dtype out, or build the index with --dtype {self.dtype}"
            )
        return training


OPTIONS = (
    click.option(
        "--model",
        show_default="smollm2, or the index's",
        help="hub id, folder, http://server; smollm2 and gemma3-270m need no hub",
    ),
    click.option("--served-model", help="with a server: the model's name there, where it has several"),
    click.option("--tokenizer", help="with a server: hub id or folder with the model's chat template; plain text without it"),
    click.option(
        "--concurrency", type=click.IntRange(min=1), default=8, show_default=True, help="with a server: requests at once"
    ),
    click.option("--timeout", type=Amount(min=0.001), default=60, show_default=True, help="with a server: seconds"),
    click.option(
        "--dtype",
        type=click.Choice(["fast", "float32", "bfloat16", "float16"]),
        default="fast",
        show_default=True,
        help="fast: bfloat16 on a GPU and on a processor with AMX or AVX512-BF16, else float32",
    ),
    click.option("--device", help="cpu, cuda, cuda:1 ...; the GPU where there is one"),
)


def answering(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the options that say which model answers."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
