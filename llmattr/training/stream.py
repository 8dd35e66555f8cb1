"""Scores without an index: the queries' gradients, preconditioned once, are multiplied with A and G as training rows pass.

A query's side of a layer is whole `X [t, i, o]`, and a row's score is `sum_s a_s' X g_s`; or it is cut to its r leading
singular directions `U [t, i, r], V [t, o, r]`, and the score is `sum_s (a_s U) . (g_s V)`: no gradient of a row is formed then.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.method import check_arguments
from llmattr.core.progress import Progress, progress
from llmattr.core.returned import returned, unchanged
from llmattr.core.seeded import gaussian
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.contract import StreamMethod, UnrolledMethod, WholeMethod
from llmattr.training.gradients.capture import capturing, exact_gradients
from llmattr.training.gradients.flat import Transform, split
from llmattr.training.gradients.layers import Layers, weight
from llmattr.training.gradients.passes import batches
from llmattr.training.gradients.project import Bases
from llmattr.training.gradients.recorders import ExactGradients, Recorder, Saved, Scaled, Scratch
from llmattr.training.index.search import Block

POWERS = 3  # of a gradient's singular values that part the leading directions from the others
WHOLE = 2**30  # numbers of whole query gradients held at once, at most: 4 GiB in float32
Side = torch.Tensor | tuple[torch.Tensor, torch.Tensor]  # X, or U and V
Sides = Mapping[str, Side]  # of each layer


@dataclass(frozen=True, eq=False)
class Layered:
    """A model with its tracked layers, which of them read the same, what a method fitted, and the scales of the gradients."""

    lm: LM
    layers: Layers
    groups: dict[str, str]
    fitted: Bases
    seed: int = 0
    scales: Bases = field(default_factory=dict)

    def scaled(self, recorder: Recorder) -> Recorder:
        """The recorder, of gradients as the index has them: normalised or not."""
        return Scaled(recorder, self.scales) if self.scales else recorder


def query_sides(method: StreamMethod | WholeMethod, at: Layered, train: Examples, asked: Examples) -> Sides:
    """The queries' preconditioned gradients, layer by layer."""
    match method:
        case StreamMethod():
            if not method.rank:
                _check_memory(len(asked), at.layers)
            return _by_layer(at, asked, _transform(method, at), method.rank)
        case WholeMethod():
            return _at_once(method, at, train, asked)


def whole_gradients(method: WholeMethod | UnrolledMethod, at: Layered, asked: Examples) -> Float[torch.Tensor, "t d"]:
    """The queries' gradients, all layers at once; raises `LlmattrError` where they are too big."""
    _check_memory(len(asked), at.layers)
    found = exact_gradients(at.lm, asked, at.layers, method.measure, batch=1)
    for row, other in asked.others.items():
        found[row] -= exact_gradients(at.lm, other, at.layers, method.measure)[0]
    return found


def _at_once(method: WholeMethod, at: Layered, train: Examples, asked: Examples) -> Sides:
    layers, gradients = at.layers, whole_gradients(method, at, asked)

    def look() -> dict[str, object]:
        return {"layers": list(layers.items()), "examples": train.fingerprint(), "queries": gradients._version}

    with unchanged(method.name, look):
        solved = method.precondition(at.lm, train, layers, gradients, at.seed)
    solved = returned(method, "precondition", solved, torch.Tensor, gradients.shape)
    return split(solved, layers)


def _transform(method: StreamMethod, at: Layered) -> Transform:
    return checked(method, "transform", method.transform(dict(at.fitted), dict(at.groups)))


def checked(method: StreamMethod | UnrolledMethod, verb: str, transform: object) -> Transform:
    """What the verb gave, of which every layer's answer is checked: another shape would be multiplied all the same."""
    if not callable(transform):
        raise LlmattrError(f"{method.name}: {verb} gave a {type(transform).__name__} and no function")

    def of_layer(name: str, gradient: torch.Tensor) -> torch.Tensor:
        with unchanged(method.name, lambda: {"gradients": gradient._version}):  # torch counts what is written into it
            found = transform(name, gradient)
        return returned(method, f"{verb} of the layer {name}", found, torch.Tensor, gradient.shape)

    check_arguments(f"{method.name}: the function that {verb} gave", transform, of_layer)
    return of_layer


def _check_memory(queries: int, layers: Layers) -> None:
    numbers = queries * sum(weight(module).numel() for module in layers.values())
    if numbers > WHOLE:
        raise LlmattrError(
            f"{queries} queries have {numbers / 1e9:.1f} billion numbers in their gradients: take --rank 8, fewer queries, or "
            "fewer layers (--modules)"
        )


def _by_layer(at: Layered, asked: Examples, transform: Transform, rank: int) -> Sides:
    recorder = ExactGradients()
    found: dict[str, list[Any]] = {name: [] for name in at.layers}
    with capturing(at.lm, at.layers, at.scaled(recorder)) as run:
        for row in range(len(asked)):
            run(asked, [row])
            gradients, recorder.found = recorder.found, {}
            if row in asked.others:
                run(asked.others[row], [0])
                gradients = {name: gradient - recorder.found[name] for name, gradient in gradients.items()}
            for name, gradient in gradients.items():
                found[name].append(_cut(transform(name, gradient), rank))
    if rank:
        return {name: (torch.cat([u for u, _ in parts]), torch.cat([v for _, v in parts])) for name, parts in found.items()}
    return {name: torch.cat(parts) for name, parts in found.items()}


def _cut(gradient: Float[torch.Tensor, "t i o"], rank: int) -> Side:
    """The gradient's leading singular directions, U with the singular values in it; the gradient itself for rank 0."""
    if not rank:
        return gradient
    rank, width = min(rank, *gradient.shape[1:]), gradient.shape[2]
    test = gaussian(width, min(2 * rank + 4, *gradient.shape[1:]), 0, "cut").to(gradient)
    basis = torch.linalg.qr(gradient @ test).Q  # of the leading directions (Halko et al., arXiv 0909.4061, algorithm 4.4)
    for _ in range(POWERS):
        basis = torch.linalg.qr(gradient @ torch.linalg.qr(gradient.mT @ basis).Q).Q
    u, values, v = torch.linalg.svd(basis.mT @ gradient, full_matrices=False)
    return (basis @ u * values[..., None, :])[..., :rank], v.mT[..., :rank]


class Contract:
    """A recorder of scores `[b, t]` of the rows that pass, and of their squared gradient lengths `[b]` where wanted."""

    def __init__(self, sides: Sides, lengths: bool = False) -> None:
        self.sides, self.lengths, self.scratch = sides, lengths, Scratch()
        self.scores: Any = 0
        self.squares: Any = 0

    def keep(self, name: str, inputs: torch.Tensor) -> Saved:
        """The inputs; for cut sides their products with U, and the inputs where lengths are wanted."""
        side = self.sides[name]
        if not isinstance(side, tuple):
            return inputs
        queries, width, rank = side[0].shape
        with_u = inputs.to(side[0].dtype) @ side[0].permute(1, 0, 2).reshape(width, queries * rank)
        return (with_u, inputs) if self.lengths else (with_u,)

    def gradient(self, name: str, kept: Saved, outputs: torch.Tensor) -> None:
        """Add a layer's part."""
        match self.sides[name], kept:
            case (_, v), (with_u, *inputs):
                queries, width, rank = v.shape
                with_v = outputs.to(v.dtype) @ v.permute(1, 0, 2).reshape(width, queries * rank)
                self.scores += (with_u * with_v).sum(1).view(-1, queries, rank).sum(-1)
                for given in inputs:  # kept where lengths are wanted
                    self.squares += ((given @ given.mT) * (outputs @ outputs.mT)).sum((1, 2))
            case torch.Tensor() as x, torch.Tensor() as given:
                every = (whole.flatten(1) for _, whole in self.scratch.parts(given, outputs))
                found = [(whole.to(x.dtype) @ x.flatten(1).T, whole.square().sum(1)) for whole in every]
                self.scores += torch.cat([scores for scores, _ in found])
                if self.lengths:
                    self.squares += torch.cat([squares for _, squares in found])

    def take(self) -> tuple[Float[np.ndarray, "t b"], Float[np.ndarray, " b"]]:
        """The batch's scores and lengths; start anew."""
        squares = self.squares if self.lengths else torch.ones(len(self.scores))
        scores, lengths = self.scores.T.double().cpu().numpy(), squares.double().sqrt().cpu().numpy()
        self.scores = self.squares = 0
        return scores, lengths


def streamed(
    method: StreamMethod | WholeMethod, at: Layered, train: Examples, asked: Examples, rows: Sequence[int] | None = None
) -> Iterator[Block]:
    """Scores of the training rows (of some of them where `rows` says so), as forward and backward passes go through them."""
    cosine = isinstance(method, StreamMethod) and method.product == "cosine"
    return contracted(query_sides(method, at, train, asked), at, train, rows, cosine=cosine)


def contracted(
    sides: Sides, at: Layered, train: Examples, rows: Sequence[int] | None = None, *, cosine: bool = False
) -> Iterator[Block]:
    """Products of the queries' sides with the gradients of the training rows, or of some of them."""
    recorder = Contract(sides, cosine)
    own = _lengths(sides) if cosine else np.ones(1)
    numbers = np.arange(len(train)) if rows is None else np.asarray(rows)
    part = train if rows is None else train.subset(numbers.tolist())
    with capturing(at.lm, at.layers, at.scaled(recorder)) as run, Progress(len(part), "scoring", "rows") as bar:
        for batch in batches(part, at.layers):
            run(part, batch)
            scores, lengths = recorder.take()
            yield numbers[batch], scores / np.maximum(np.outer(own, lengths), np.finfo(np.float64).tiny)
            bar.update(len(batch))


def _lengths(sides: Sides) -> Float[np.ndarray, " t"]:
    """The lengths of the queries' gradients; U carries the singular values."""
    squares = [(s[0] if isinstance(s, tuple) else s).double().square().sum((1, 2)) for s in sides.values()]
    return torch.stack(squares).sum(0).sqrt().cpu().numpy()


def self_products(method: StreamMethod, at: Layered, train: Examples) -> Float[np.ndarray, " n"]:
    """Every row's product with itself under the method's preconditioner, `g' H^-1 g`."""
    recorder, transform = ExactGradients(), _transform(method, at)
    scores = np.empty(len(train))
    with capturing(at.lm, at.layers, at.scaled(recorder)) as run:
        for batch in progress(batches(train, at.layers), "scoring", "batches"):
            run(train, batch)
            parts = [(g * transform(name, g)).sum((1, 2)).double() for name, g in recorder.found.items()]
            recorder.found, scores[batch] = {}, torch.stack(parts).sum(0).cpu().numpy()
    return scores
