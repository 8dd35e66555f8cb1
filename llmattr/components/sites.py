"""The components of a model as sources, and the places in it where they can be seen and changed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float

from llmattr.core.sources import Sources
from llmattr.errors import LlmattrError, check_choice
from llmattr.model.contract import Weights
from llmattr.model.layers import Layer, layers_of

Built = Literal["heads", "mlps", "attentions", "layers", "neurons"]
Part = Literal[Built, "features", "error"]  # and those of a dictionary that is put into the model
FEATURES = "features"  # both of these, as they are asked for
Side = Literal["read", "written", "added"]  # what a module reads, what it writes, and how that differs from what it reads
Pieces = Float[torch.Tensor, "b s count width"]
Change = Callable[[int, Pieces], Pieces]  # of the site with this number

NAMES: dict[Part, tuple[str, str]] = {  # the id and the text of component i of layer l
    "heads": ("{l}.{i}", "head {i} of layer {l}"),
    "mlps": ("{l}.mlp", "MLP of layer {l}"),
    "attentions": ("{l}.attention", "attention of layer {l}"),
    "layers": ("{l}", "layer {l}"),
    "neurons": ("{l}.mlp.{i}", "neuron {i} of layer {l}"),
    "features": ("{l}.feature.{i}", "feature {i} of layer {l}"),
    "error": ("{l}.error", "what no feature of layer {l} explains"),
}


@runtime_checkable
class Spliced(Protocol):
    """What is put into a model for the time of a pass, with sites of its own: it changes what the host writes."""

    @property
    def host(self) -> "Site":
        """Where it is put in."""
        ...

    def __call__(self, x: torch.Tensor, rows: int = 1) -> torch.Tensor:
        """What the model goes on with in the place of x, of so many rows."""
        ...

    def record(self) -> dict[str, Any]:
        """What it is."""
        ...


@dataclass(frozen=True, eq=False)
class Site:
    """Components that stand side by side: `count` pieces of equal width of what stands on one side of a module.

    `numbers` [count]: of components that are some of many. `splice`: what the module is a part of, where that is not the model.
    """

    part: Part
    layer: int
    module: torch.nn.Module
    side: Side
    count: int
    numbers: Sequence[int] = ()
    splice: Spliced | None = None


def sites_of(lm: Weights, parts: str) -> list[Site]:
    """The sites of these parts, with plus signs between them ("heads+mlps"), layer by layer.

    A head is its piece of what the attention's output matrix reads, so that this matrix's bias belongs to none; an MLP or an
    attention is all that it adds to the residual stream, biases too; a layer is the sum of both; a neuron is a number that the
    MLP's last matrix reads. Raises `LlmattrError` for another part and for one that the model has not.
    """
    wanted = list(dict.fromkeys(parts.split("+")))
    for part in wanted:
        check_choice("parts (with + between)", part, (*get_args(Built), FEATURES))
    found = [site for number, layer in enumerate(layers_of(lm)) for site in _sites(layer, number) if site.part in wanted]
    if lacking := [part for part in wanted if part not in {site.part for site in found}]:
        raise LlmattrError(f"{lm.name or 'the model'} has no {lacking[0]} that can be told apart: take other parts")
    return found


def _sites(layer: Layer, number: int) -> list[Site]:
    """Every site of a layer."""
    places: list[tuple[Built, torch.nn.Module | None, Side, int]] = [
        ("heads", layer.projection, "read", layer.heads),
        ("attentions", layer.projection, "written", 1),
        ("neurons", layer.down, "read", layer.neurons),
        ("mlps", layer.down or layer.block, "written", 1),
        ("layers", layer.module, "added", 1),
    ]
    return [Site(part, number, module, side, count) for part, module, side, count in places if module is not None]


def sources_of(sites: Sequence[Site]) -> Sources:
    """The components of these sites, in their order; layers, heads and neurons are numbered from 0."""
    places = [(site, i) for site in sites for i in (site.numbers or range(site.count))]
    ids, texts = ([NAMES[site.part][k].format(l=site.layer, i=i) for site, i in places] for k in (0, 1))
    columns = [{"part": site.part, "layer": site.layer, "number": i} for site, i in places]
    return Sources("components", ids, texts, columns=columns)


@contextmanager
def changed(sites: Sequence[Site], change: Change, rows: int = 1) -> Iterator[None]:
    """Within, the model goes on with `change(number, pieces)` at every site, of batches of so many rows.

    The hooks are taken away whatever happens. Some models fold batch and tokens into one dimension, and are given that back.
    """

    def cut(number: int, x: torch.Tensor) -> torch.Tensor:
        pieces = x.reshape(rows, -1, sites[number].count, x.shape[-1] // sites[number].count)
        return change(number, pieces).reshape(x.shape)

    with ExitStack() as hooks:
        for splice in dict.fromkeys(site.splice for site in sites if site.splice):
            hooks.callback(_hooked(splice.host, partial(splice, rows=rows)).remove)
        for number, site in enumerate(sites):
            hooks.callback(_hooked(site, partial(cut, number)).remove)
        yield


def _hooked(site: Site, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.utils.hooks.RemovableHandle:
    """A hook that puts what `change` makes of what stands at the site into its place."""

    def read(_module: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(given[0]), *given[1:])

    def written(
        _module: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: torch.Tensor | tuple[Any, ...]
    ) -> torch.Tensor | tuple[Any, ...]:
        x = output[0] if isinstance(output, tuple) else output
        if site.side == "added":
            added = x - (given[0] if given else named["hidden_states"])
            x = x + (change(added) - added)  # exactly x where nothing is changed
        else:
            x = change(x)
        return (x, *output[1:]) if isinstance(output, tuple) else x

    if site.side == "read":
        return site.module.register_forward_pre_hook(read)
    return site.module.register_forward_hook(written, with_kwargs=True)
