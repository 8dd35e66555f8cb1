"""What a dictionary of features is, and the one that is read, trained and saved here: a sparse autoencoder."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float

from llmattr.components.features.hook import Hook


@dataclass(frozen=True)
class Origin:
    """A dictionary's name, and the model that it was learnt from: its name and the hash of its weights, where known."""

    name: str = ""
    model: str = ""
    model_hash: str = ""


@runtime_checkable
class Dictionary(Protocol):
    """n features of what stands at a hook, each with a direction: `x = decode(encode(x)) + error`."""

    @property
    def hook(self) -> Hook:
        """Where it is."""
        ...

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        ...

    @property
    def rows(self) -> Float[torch.Tensor, "n d"]:
        """The decoder: the direction of each feature."""
        ...

    def encode(self, x: Float[torch.Tensor, "*b d"]) -> Float[torch.Tensor, "*b n"]:
        """How active each feature is."""
        ...

    def decode(self, codes: Float[torch.Tensor, "*b n"]) -> Float[torch.Tensor, "*b d"]:
        """What they add up to."""
        ...


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """A `Dictionary`: `codes = keep(relu(encoder x + encoder_bias))`, `x ~ codes rows + bias`.

    `keep` leaves the `k` largest codes of a token (TopK: Gao et al. 2024, arXiv 2406.04093), or those above their `threshold`
    (JumpReLU: Rajamanoharan et al. 2024, arXiv 2407.14435), or all of them (Bricken et al. 2023).
    """

    encoder: Float[torch.Tensor, "n d"] = field(repr=False)
    encoder_bias: Float[torch.Tensor, " n"] = field(repr=False)
    rows: Float[torch.Tensor, "n d"] = field(repr=False)
    bias: Float[torch.Tensor, " d"] = field(repr=False)
    hook: Hook
    k: int | None = None
    threshold: Float[torch.Tensor, " n"] | None = field(default=None, repr=False)
    origin: Origin = Origin()

    def encode(self, x: Float[torch.Tensor, "*b d"]) -> Float[torch.Tensor, "*b n"]:
        """How active each feature is, 0 or more."""
        codes = (x @ self.encoder.T + self.encoder_bias).relu()
        if self.k is not None:
            codes = strongest(codes, self.k)
        return codes if self.threshold is None else codes * (codes > self.threshold)

    def decode(self, codes: Float[torch.Tensor, "*b n"]) -> Float[torch.Tensor, "*b d"]:
        """`codes rows + bias`."""
        return codes @ self.rows + self.bias


def strongest(codes: Float[torch.Tensor, "*b n"], k: int) -> Float[torch.Tensor, "*b n"]:
    """The k largest of each token, and 0 elsewhere."""
    best = codes.topk(k, dim=-1)
    return torch.zeros_like(codes).scatter(-1, best.indices, best.values)


def unexplained(x: Float[torch.Tensor, "s d"], error: Float[torch.Tensor, "s d"]) -> float:
    """FVU, the fraction of variance that is not explained: `sum |error|^2 / sum |x - mean x|^2`; nan where x does not vary."""
    variance = (x - x.mean(dim=0)).square().sum()
    return float(error.square().sum() / variance) if variance > 0 else float("nan")
