"""What stands in the place of a component that is removed: nothing, its mean, or what it does on another prompt."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float

from llmattr.components.sites import Site, changed
from llmattr.model.forward import evaluating, without_cache
from llmattr.model.lm import LM

Way = Literal["zero", "mean", "resample"]
Fill = Sequence[Float[torch.Tensor, "..."]]  # of each site, in the shape of its pieces or one that is broadcast to it


def zeros(sites: Sequence[Site]) -> Fill:
    """Nothing."""
    return [torch.zeros(())] * len(sites)


@torch.no_grad()
def seen(lm: LM, sites: Sequence[Site], ids: Sequence[int]) -> list[Float[torch.Tensor, "s count width"]]:
    """What the components compute at each token of a text."""
    found: dict[int, torch.Tensor] = {}

    def look(number: int, pieces: torch.Tensor) -> torch.Tensor:
        found[number] = pieces[0]
        return pieces

    given = torch.tensor([list(ids)], device=lm.device)
    with evaluating(lm.model), changed(sites, look):
        lm.model(input_ids=given, **without_cache(lm.model))
    return [found[number] for number in range(len(sites))]


def dead(site: Site, pieces: Float[torch.Tensor, "s count width"], fill: Float[torch.Tensor, "..."]) -> list[bool]:
    """Which of a site's components make no difference: they compute their fill, or what the matrix behind does not read."""
    if site.side != "read":
        return (pieces == fill.to(pieces)).all(dim=2).all(dim=0).tolist()
    x = pieces.flatten(start_dim=1).detach().requires_grad_()
    with torch.enable_grad():
        written = site.module(x)
    direction = torch.randn(written.shape, generator=torch.Generator().manual_seed(0)).to(written)
    (read,) = torch.autograd.grad(written, x, direction)
    return (read.reshape(pieces.shape) == 0).all(dim=2).all(dim=0).tolist()


def means(lm: LM, sites: Sequence[Site], texts: Sequence[Sequence[int]]) -> Fill:
    """The mean of each component over all tokens of the texts, in float64 on the way."""
    sums, counts = [torch.zeros((), dtype=torch.float64)] * len(sites), [0] * len(sites)
    for ids in texts:
        found = seen(lm, sites, ids)
        sums = [total + one.cpu().double().sum(dim=0) for total, one in zip(sums, found, strict=True)]
        counts = [count + len(one) for count, one in zip(counts, found, strict=True)]
    return [total / count for total, count in zip(sums, counts, strict=True)]
