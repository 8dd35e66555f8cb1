"""Second moments of gradients, as optimisers keep them, in Adafactor's rank-one form: `V[i, o] = r[i] c[o] / sum(r)`.

`g / sqrt(V)` is then a scale of A's columns and one of G's columns: it folds into the bases of a projection and no per-example
gradient is formed for it. From an optimiser's state (Adam's `exp_avg_sq`), or from gradients of training rows when it is lost.
"""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float

from llmattr.errors import LlmattrError, check_choice
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.capture import record
from llmattr.training.gradients.layers import Layers, group_of, in_and_out, tied, vocabulary_sides, weight
from llmattr.training.gradients.passes import batches
from llmattr.training.gradients.recorders import Scaled
from llmattr.training.projection import Normalize

Scales = dict[str, torch.Tensor]
SCALES = "scales/"  # begins their names among the bases of an index
LEAST = 1e-6  # of the mean: what never had a gradient is not blown up
LEAST_TOKEN = 1.0  # the same of a word: most words of a question may have had none


class SquaredSums:
    """A recorder of the row and column sums of squared per-example gradients: `r[i] = sum_o g[i, o]^2`, without forming g.

    With the Gram matrix `K = G G'` [s, s] of an example, `r = diag(A' K A)`; columns likewise.
    """

    def __init__(self) -> None:
        self.sums: Scales = {}

    def keep(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """All of the inputs."""
        return inputs

    def gradient(self, name: str, kept: torch.Tensor, outputs: torch.Tensor) -> None:
        """Add a batch's sums."""
        inputs, outputs = kept.float(), outputs.float()
        self._add(f"{name}/in", (inputs * (outputs @ outputs.mT @ inputs)).sum((0, 1)))
        self._add(f"{name}/out", (outputs * (inputs @ inputs.mT @ outputs)).sum((0, 1)))

    def _add(self, key: str, sums: Float[torch.Tensor, " d"]) -> None:
        self.sums[key] = self.sums.get(key, torch.zeros_like(sums)) + sums


def scales(source: Normalize, lm: LM, examples: Examples, layers: Layers) -> Scales:
    """`V^-1/2` as "layer/in" and "layer/out" factors, and those that give several groups of parameters the same mean square.

    Empty for "none" of a single group. Raises `LlmattrError` when the optimiser's state is wanted and is not in the model's
    folder.
    """
    check_choice("normalize", source, get_args(Normalize))
    found: Scales = {}
    if source != "none":
        sums, rows = (
            (_of_optimizer(lm, layers), 1) if source == "optimizer" else (_of_data(lm, examples, layers), len(examples))
        )
        tokens = vocabulary_sides(lm, layers)
        found = {key: value for name in layers for key, value in _factors(name, sums, rows, tokens)}
    groups = group_of(lm, layers)
    return found if len(set(groups.values())) < 2 else _balanced(lm, examples, layers, groups, found)


def scales_in(fitted: Mapping[str, torch.Tensor]) -> Scales:
    """The scales among what was fitted for an index."""
    return {key.removeprefix(SCALES): value for key, value in fitted.items() if key.startswith(SCALES)}


def _of_data(lm: LM, examples: Examples, layers: Layers) -> Scales:
    recorder = SquaredSums()
    record(lm, examples, layers, recorder, batches(examples, layers))
    return _added(recorder.sums, layers)


def adam_roots(lm: LM, layers: Layers) -> Scales:
    """`P^1/2` of Adam's steps `P g`, `P = (V / (1 - b2^t))^-1/2` after t steps, as "layer/in" and "layer/out" factors.

    V is in its rank-one form. Raises `LlmattrError` when the optimiser's state is not in the model's folder.
    """
    path = _path(lm)
    if not path.exists():
        raise LlmattrError(f"there is no optimiser state {str(path)!r}, which says how long Adam's steps were: bring it there")
    sums, saved = _of_optimizer(lm, layers), _state(path, lm.device)
    t, (_, b2) = max(float(one["step"]) for one in saved["state"].values()), saved["param_groups"][0]["betas"]
    unbiased = (1 - b2**t) ** (1 / 8)  # on each of both sides
    return {
        key: value.sqrt() * unbiased for name in layers for key, value in _factors(name, sums, 1, vocabulary_sides(lm, layers))
    }


def _balanced(lm: LM, examples: Examples, layers: Layers, groups: Mapping[str, str], found: Scales) -> Scales:
    """The same with a factor for each group, over the root of its gradients' mean squared length in these examples."""
    whole = found or {key: value for name in layers for key, value in _ones(name, layers[name])}
    recorder = SquaredSums()
    record(lm, examples, layers, Scaled(recorder, whole), batches(examples, layers))
    squares = dict.fromkeys(groups.values(), 0.0)
    for name, group in groups.items():
        squares[group] += float(recorder.sums[f"{name}/in"].double().sum()) / len(examples)
    roots = {group: max(square, torch.finfo(torch.float32).tiny) ** -0.5 for group, square in squares.items()}
    return whole | {f"{name}/out": whole[f"{name}/out"] * roots[groups[name]] for name in layers}


def _ones(name: str, module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    ins, outs = in_and_out(module)
    device = weight(module).device
    return [(f"{name}/in", torch.ones(ins, device=device)), (f"{name}/out", torch.ones(outs, device=device))]


def _added(sums: Scales, layers: Layers) -> Scales:
    """The same with all parts of a tied weight in each: its tokens are an embedding's input, and a head's output."""
    both = ("in", "out")
    turned = {name: both if isinstance(layers[name], torch.nn.Embedding) else both[::-1] for name in tied(layers)}
    whole = [torch.stack([sums[f"{name}/{sides[k]}"] for name, sides in turned.items()]).sum(0) for k in (0, 1) if turned]
    return sums | {f"{name}/{side}": total for name, sides in turned.items() for side, total in zip(sides, whole, strict=True)}


def _factors(name: str, sums: Scales, n: int, tokens: Container[str]) -> list[tuple[str, torch.Tensor]]:
    """`(r c / (sum(r) n))^-1/2` as a factor for each side."""
    total = sums[f"{name}/in"].sum().clamp(min=torch.finfo(torch.float32).tiny)
    found = []
    for key in (f"{name}/in", f"{name}/out"):
        least = LEAST_TOKEN if key in tokens else LEAST
        floored = sums[key].clamp(min=least * float(sums[key].mean()) + torch.finfo(torch.float32).tiny)
        found.append((key, (floored / (total * n) ** 0.5).rsqrt()))
    return found


def _of_optimizer(lm: LM, layers: Layers) -> Scales:
    path = _path(lm)
    if not path.exists():
        raise LlmattrError(
            f"there is no optimiser state {str(path)!r}: take --normalize data, which estimates it from gradients"
        )
    squares = _named_squares(lm, _state(path, lm.device))
    names = {id(parameter): name for name, parameter in lm.model.named_parameters()}  # of a tied weight the embedding's
    sums: Scales = {}
    for name, module in layers.items():
        if (known := names[id(weight(module))]) not in squares:
            raise LlmattrError(f"the optimiser state {str(path)!r} has no second moments of {name!r}: take --normalize data")
        square = squares[known].float()
        square = square.T if isinstance(module, torch.nn.Linear) else square
        sums |= {f"{name}/in": square.sum(1), f"{name}/out": square.sum(0)}
    return sums


def _path(lm: LM) -> Path:
    return Path(lm.name) / "optimizer.pt"


def _state(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        return {"state": saved["state"], "param_groups": saved["param_groups"]}
    except Exception as error:  # torch raises what its readers raise
        problem = "it is damaged, cut off or no state of an optimiser"
        raise LlmattrError(f"cannot read {str(path)!r}: {problem}: copy it again, or take --normalize data") from error


def _named_squares(lm: LM, saved: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Adam's second moments by parameter name: an optimiser numbers them in the model's order, matrices (decayed) first where
    it has two groups, as transformers' Trainer makes them. Shapes must agree."""
    every = [(name, parameter.shape) for name, parameter in lm.model.named_parameters()]
    if len(saved["param_groups"]) == 2:
        every = [x for x in every if len(x[1]) > 1] + [x for x in every if len(x[1]) < 2]
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    squares = [saved["state"].get(number, {}).get("exp_avg_sq") for number in numbers]
    if len(squares) != len(every) or any(s is None or s.shape != shape for s, (_, shape) in zip(squares, every, strict=True)):
        raise LlmattrError("the optimiser state does not fit the model's parameters one by one: take --normalize data")
    return {name: square for (name, _), square in zip(every, squares, strict=True)}
