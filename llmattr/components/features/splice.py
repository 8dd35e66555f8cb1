"""A dictionary put into a model: its live features and its error term are sites, seen and changed as heads are."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float

from llmattr.components.features.dictionary import Dictionary, unexplained
from llmattr.components.features.hook import Hook
from llmattr.components.fills import seen
from llmattr.components.sites import Site
from llmattr.errors import LlmattrError
from llmattr.model.layers import Layer, layers_of
from llmattr.model.lm import LM


class Splice(torch.nn.Module):
    """What stands at a place, in two parts that can be changed: the codes of the `live` features, and the error.

    `x -> x + (codes' - codes) rows + (error' - error)`, `error = x - decode(encode(x))`: x itself, to the bit, where neither is
    changed. The decoder's bias belongs to none.
    """

    def __init__(self, dictionary: Dictionary, host: Site, live: Sequence[int], fvu: float = float("nan")) -> None:
        super().__init__()
        self.dictionary, self.host, self.live, self.fvu = dictionary, host, list(live), fvu
        self.codes, self.error = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, x: Float[torch.Tensor, "*b d"], rows: int = 1) -> Float[torch.Tensor, "*b d"]:
        """What the model goes on with: another x from the hook's first token on, or at the one token that is generated."""
        tokens = x.reshape(rows, -1, x.shape[-1])
        start = min(self.dictionary.hook.start, tokens.shape[1] - 1)
        given = tokens[:, start:].to(self.dictionary.rows)
        every = self.dictionary.encode(given)
        codes, error = every[..., self.live], given - self.dictionary.decode(every)
        more = (self.codes(codes) - codes) @ self.dictionary.rows[self.live] + (self.error(error) - error)
        return torch.cat([tokens[:, :start], tokens[:, start:] + more.to(x)], dim=1).reshape(x.shape)

    @property
    def sites(self) -> list[Site]:
        """The features and the error term."""
        layer = self.dictionary.hook.layer
        features = Site("features", layer, self.codes, "written", len(self.live), self.live, self)
        return [features, Site("error", layer, self.error, "written", 1, splice=self)]

    def record(self) -> dict[str, Any]:
        """Which dictionary, how many of its features are sources, and how much of the variance it leaves to the error term."""
        hook = self.dictionary.hook
        many = {"features": len(self.dictionary.rows), "live": len(self.live), "fvu": self.fvu}
        return {"name": self.dictionary.origin.name, "layer": hook.layer, "place": hook.place, **many}


def spliced(lm: LM, dictionary: Dictionary, texts: Sequence[Sequence[int]]) -> Splice:
    """The dictionary in the model, with the features that any token of these texts makes active.

    Raises `LlmattrError` for one of another model, layer or width, and where no feature is active.
    """
    host = place_of(lm, dictionary)
    states = [standing(lm, host, ids).to(dictionary.rows) for ids in texts]
    start = dictionary.hook.start
    active = torch.stack([(dictionary.encode(x[start:]) > 0).any(dim=0) for x in states]).any(dim=0)
    if not active.any():
        name = dictionary.origin.name
        raise LlmattrError(f"no feature of {name!r} is active on any token of what is asked: nothing can be removed")
    x = torch.cat(
        [some[1:] for some in states]
    )  # at the first token many models hold numbers that would be all of the variance
    fvu = unexplained(x, x - dictionary.decode(dictionary.encode(x)))
    return Splice(dictionary, host, active.nonzero()[:, 0].tolist(), fvu)


def standing(lm: LM, host: Site, ids: Sequence[int]) -> Float[torch.Tensor, "s d"]:
    """What stands at a place at each token of a text."""
    return seen(lm, [host], ids)[0][:, 0]


def place_of(lm: LM, dictionary: Dictionary) -> Site:
    """Where the dictionary is in this model; raises `LlmattrError` where it cannot be there."""
    name, width = dictionary.origin.name, dictionary.rows.shape[1]
    host = host_of(lm, dictionary.hook)
    hidden = lm.model.config.get_text_config().hidden_size
    if width != hidden:
        raise LlmattrError(f"the dictionary {name!r} is {width} wide, what {lm.name or 'the model'} computes there {hidden}")
    if dictionary.origin.model_hash not in ("", lm.fingerprint()["model_hash"]):
        other = dictionary.origin.model
        raise LlmattrError(f"the dictionary {name!r} was learnt from another model ({other}) than {lm.name or 'this one'}")
    return host


def host_of(lm: LM, hook: Hook) -> Site:
    """The site of a hook in this model; raises `LlmattrError` where it has no such layer or part."""
    layers = layers_of(lm)
    if not 0 <= hook.layer < len(layers):
        there = f"{lm.name or 'the model'} has layers 0 to {len(layers) - 1}"
        raise LlmattrError(f"layer {hook.layer} is asked for, and {there}")
    module = _module(layers[hook.layer], hook)
    if module is None:
        raise LlmattrError(f"layer {hook.layer} of {lm.name or 'the model'} has no {hook.place} that can be told apart")
    return Site("layers", hook.layer, module, "written", 1)


def _module(layer: Layer, hook: Hook) -> torch.nn.Module | None:
    """What writes there."""
    return {"stream": layer.module, "attention": layer.projection, "mlp": layer.down or layer.block}[hook.place]
