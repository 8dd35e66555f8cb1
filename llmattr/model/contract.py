"""What a model has to be: `Scorer` says how likely responses are, `Weights` lets gradients and hidden states be seen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from llmattr.text.prompt import Rendered
from llmattr.text.tokens import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@runtime_checkable
class Scorer(Protocol):
    """What can score a response behind a prompt: a model here (`LM`) or behind a server (`ServerLM`)."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes its tokens."""
        ...

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def window(self) -> int | None:
        """The most tokens it reads, or None where that is not known."""
        ...

    @property
    def kind(self) -> str:
        """What it predicts: the next token, masked ones, or what an encoder's text is answered with."""
        ...

    def score(self, requests: Sequence[Rendered]) -> Iterator[tuple[int, Float[np.ndarray, " r"]]]:
        """Each request's number with the log-probabilities [r] in nats of its response's tokens, in any order."""
        ...

    def generate(self, ids: list[int], max_new_tokens: int = 256) -> list[int]:
        """The greedy continuation of a prompt, as ids without the end of text."""
        ...

    def record(self) -> dict[str, str]:
        """What answered, for `run`: model, dtype, device or address."""
        ...

    def fingerprint(self) -> dict[str, str]:
        """What tells it from every other model and tokenizer."""
        ...


@runtime_checkable
class Weights(Protocol):
    """A model whose inside can be seen, with what a pass through it needs."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def model(self) -> "PreTrainedModel":
        """The model itself, or what `torch.compile` made of it."""
        ...

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def device(self) -> "torch.device":
        """Where its input goes."""
        ...

    @property
    def dtype(self) -> "torch.dtype":
        """The type that it computes in."""
        ...

    @property
    def kind(self) -> Literal["causal", "masked", "seq2seq"]:
        """What it predicts: the next token, masked ones, or what an encoder's text is answered with."""
        ...

    @property
    def tokenizer(self) -> Any:
        """One of transformers, whose special tokens have no types."""
        ...

    @property
    def pad_id(self) -> int:
        """The token that fills the room beside short prompts."""
        ...

    @property
    def padding_side(self) -> str:
        """ "left" or "right", where the model allows it."""
        ...

    @property
    def max_batch_tokens(self) -> int:
        """The most tokens of a batch, with their padding."""
        ...

    @property
    def share_prefixes(self) -> bool:
        """Whether what prompts begin with together may be computed once."""
        ...

    def check(self, texts: Sequence[Sequence[int]], room: int = 0) -> None:
        """Raise `LlmattrError` for ids that the model cannot read."""
        ...


def fingerprint_in(record: Mapping[str, Any]) -> dict[str, str] | None:
    """The fingerprint of a model in a record of other things, too; None where none of the weights at hand made it."""
    found = {key: record[key] for key in ("model_hash", "tokenizer_hash") if key in record}
    return found or None
