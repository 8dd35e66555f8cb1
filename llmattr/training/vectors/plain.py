"""Rows of an index that are no gradients: hidden states, embeddings, or nothing but what a method fits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from llmattr.errors import LlmattrError
from llmattr.model.batches import make_batch
from llmattr.model.forward import evaluating
from llmattr.model.lm import LM
from llmattr.retrieval.encoder import Encoder, token_mean
from llmattr.text.rows import Examples, row_text
from llmattr.training.gradients.project import Bases
from llmattr.training.projection import Measure
from llmattr.training.vectors.contract import Rows


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """Rows: the mean over a row's tokens of one layer's hidden states; `weighted`: by their places, later ones more."""

    lm: LM
    layer: int
    weighted: bool = False
    fitted: Bases = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """The model's width."""
        return self.lm.model.config.get_text_config().hidden_size

    def rows(self, examples: Examples, planned: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """Mean hidden states of each batch."""
        for batch in planned:
            inputs = make_batch(self.lm, examples, batch).inputs
            with evaluating(self.lm.model), torch.no_grad():
                out = self.lm.model(**inputs, output_hidden_states=True)
            hidden = self._chosen(out.encoder_hidden_states if self.lm.kind == "seq2seq" else out.hidden_states)
            yield batch, token_mean(hidden, inputs.get("attention_mask"), self.weighted).cpu().numpy(), np.zeros(len(batch))

    def _chosen(self, states: Sequence[Float[torch.Tensor, "b s d"]]) -> Float[torch.Tensor, "b s d"]:
        """The hidden states of the layer, out of those of all layers."""
        if not -len(states) <= self.layer < len(states):
            raise LlmattrError(f"layer must lie between {-len(states)} and {len(states) - 1}, not {self.layer}")
        return states[self.layer]


class Encoded:
    """Rows: a sentence encoder's embeddings of the rows' texts."""

    def __init__(self, encoder: str) -> None:
        self.encoder = Encoder.load(encoder)
        self.dim: int = self.encoder.dim
        self.fitted: Bases = {}
        self.settings: dict[str, Any] = {}

    def rows(self, examples: Examples, planned: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """Embeddings of each batch."""
        for batch in planned:
            yield batch, self.encoder.encode([row_text(examples.rows[row]) for row in batch]), np.zeros(len(batch))


@dataclass(frozen=True, eq=False)
class Nothing:
    """Rows of no numbers, for methods that go through the training data when they are asked."""

    fitted: Bases = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    dim: int = 0

    def rows(self, examples: Examples, planned: Sequence[Sequence[int]], measure: Measure) -> Rows:
        """Nothing for each batch."""
        for batch in planned:
            yield batch, np.zeros((len(batch), 0), dtype=np.float32), np.zeros(len(batch))
