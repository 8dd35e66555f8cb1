"""A sentence encoder: texts to vectors, the mean over their tokens' last hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from llmattr.model.embedded import ENCODERS, encoder_folder
from llmattr.model.forward import check_vocabulary
from llmattr.model.loading import complete, load_tokenizer, told


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder and its tokenizer."""

    model: Any
    tokenizer: Any

    @staticmethod
    @lru_cache(maxsize=1)
    def load(name: str) -> "Encoder":
        """Load a hub id, a folder, or "minilm" (embedded); the last one is kept. Raises `LlmattrError` when it cannot."""
        from transformers import AutoModel

        place = str(encoder_folder(name) if name in ENCODERS else name)
        what = f"the encoder {name!r}"
        tokenizer = load_tokenizer(place, what)
        with told(what, place, "weights"):  # a mean over tokens needs no pooler
            return Encoder(complete(AutoModel, place, spare="pooler.").eval(), tokenizer)

    @property
    def dim(self) -> int:
        """The width d of a text's vector."""
        return self.model.config.hidden_size

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "k d"]:
        """A vector for each text, in one batch; what is longer than the encoder's window is cut off."""
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        check_vocabulary(inputs["input_ids"].tolist(), self.tokenizer, self.model.config.vocab_size)
        with torch.no_grad():
            hidden = self.model(**inputs).last_hidden_state
        return token_mean(hidden, inputs["attention_mask"]).numpy()


def token_mean(
    hidden: Float[torch.Tensor, "b s d"], seen: Int[torch.Tensor, "b s"] | None, weighted: bool = False
) -> Float[torch.Tensor, "b d"]:
    """The mean over the tokens that are no padding; `weighted`: the k-th counts k times (SGPT, arXiv 2202.08904)."""
    mask = torch.ones_like(hidden[..., :1]) if seen is None else seen[..., None].to(hidden.dtype)
    mask = mask * mask.cumsum(1) if weighted else mask
    return ((hidden * mask).sum(1) / mask.sum(1)).float()
