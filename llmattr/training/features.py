"""Rows of an index that are no gradients: hidden states, embeddings, or nothing but what a method fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.embedded import ENCODERS, encoder_folder
from llmattr.errors import LlmattrError
from llmattr.lm import LM
from llmattr.training.capture import Measure, make_batch
from llmattr.training.data import Examples, row_text
from llmattr.training.project import Bases


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """Rows: the mean over a row's tokens of one layer's hidden states."""

    lm: LM
    layer: int
    fitted: Bases = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """The model's width."""
        return self.lm.model.config.get_text_config().hidden_size

    def rows(self, examples: Examples, batches: Sequence[Sequence[int]], measure: Measure) -> Iterator[Any]:
        """Mean hidden states of each batch."""
        for batch in batches:
            inputs = make_batch(self.lm, examples, batch).inputs
            with torch.no_grad():
                hidden = self._states(self.lm.model(**inputs, output_hidden_states=True))
            yield batch, _mean(hidden, inputs.get("attention_mask")).cpu().numpy(), np.zeros(len(batch))

    def _states(self, out: Any) -> torch.Tensor:
        states = out.encoder_hidden_states if self.lm.kind == "seq2seq" else out.hidden_states
        if not -len(states) <= self.layer < len(states):
            raise LlmattrError(f"layer must lie between {-len(states)} and {len(states) - 1}, not {self.layer}")
        return states[self.layer]


class Encoded:
    """Rows: a sentence encoder's embeddings of the rows' texts, the mean over tokens."""

    def __init__(self, encoder: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        place = encoder_folder(encoder) if encoder in ENCODERS else encoder
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(place)
            self.model = AutoModel.from_pretrained(place).eval()
        except Exception as error:  # missing, damaged, unknown: the loaders raise what they like
            raise LlmattrError(f"cannot load the encoder {encoder!r}: {next(iter(str(error).splitlines()), '')}") from error
        self.dim: int = self.model.config.hidden_size
        self.fitted: Bases = {}
        self.settings: dict[str, Any] = {}

    def rows(self, examples: Examples, batches: Sequence[Sequence[int]], measure: Measure) -> Iterator[Any]:
        """Embeddings of each batch."""
        for batch in batches:
            texts = [row_text(examples.rows[row]) for row in batch]
            inputs = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            with torch.no_grad():
                hidden = self.model(**inputs).last_hidden_state
            yield batch, _mean(hidden, inputs["attention_mask"]).numpy(), np.zeros(len(batch))


def _mean(hidden: Float[torch.Tensor, "b s d"], seen: Int[torch.Tensor, "b s"] | None) -> Float[torch.Tensor, "b d"]:
    """The mean over the tokens that are no padding."""
    mask = torch.ones_like(hidden[..., :1]) if seen is None else seen[..., None].to(hidden.dtype)
    return ((hidden * mask).sum(1) / mask.sum(1)).float()


@dataclass(frozen=True, eq=False)
class Nothing:
    """Rows of no numbers, for methods that go through the training data when they are asked."""

    fitted: Bases = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    dim: int = 0

    def rows(self, examples: Examples, batches: Sequence[Sequence[int]], measure: Measure) -> Iterator[Any]:
        """Nothing for each batch."""
        for batch in batches:
            yield batch, np.zeros((len(batch), 0), dtype=np.float32), np.zeros(len(batch))
