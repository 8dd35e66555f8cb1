"""Second moments of gradients, as optimisers keep them, in Adafactor's rank-one form: `V[i, o] = r[i] c[o] / sum(r)`.

`g / sqrt(V)` is then a scale of A's columns and one of G's columns: it folds into the bases of a projection and no per-example
gradient is formed for it. From an optimiser's state (Adam's `exp_avg_sq`), or from gradients of training rows when it is lost.
"""

import math
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from jaxtyping import Float

from llmattr.errors import LlmattrError, check_choice
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.capture import record
from llmattr.training.gradients.experts import Expert
from llmattr.training.gradients.layers import Layers, group_of, in_and_out, part_of, tied, vocabulary_sides, weight
from llmattr.training.gradients.passes import batches
from llmattr.training.gradients.recorders import Scaled
from llmattr.training.projection import Normalize

Scales = dict[str, torch.Tensor]
SCALES = "scales/"  # begins their names among the bases of an index
ESTIMATED = "take --normalize data, which estimates it from gradients"  # where there is no state
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

    Empty for "none" of a single group. "steps": `P^1/2` of Adam's steps instead, of all groups as they are. Raises
    `LlmattrError` when the optimiser's state is wanted and is not in the model's folder.
    """
    check_choice("normalize", source, get_args(Normalize))
    if source == "steps":
        return adam_roots(lm, layers, "take --normalize none")
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
    return _shared(_added(recorder.sums, layers), layers)


def adam_roots(lm: LM, layers: Layers, otherwise: str) -> Scales:
    """`P^1/2` of Adam's steps `P g`, `P = (V / (1 - b2^t))^-1/2` after t steps, as "layer/in" and "layer/out" factors.

    V is in its rank-one form. Raises `LlmattrError`, which says what there is `otherwise`, when the optimiser's state is not
    in the model's folder.
    """
    mend = f"bring it there as the run's AdamW left it, or {otherwise}"
    adam = _adam(lm, mend)
    sums, tokens = _sums(adam, lm, layers, mend), vocabulary_sides(lm, layers)
    unbiased = 1 - adam.b2**adam.steps  # an eighth root of it for each of both sides
    if not 0 < unbiased <= 1:
        raise LlmattrError(f"the optimiser state does not say its betas and its number of steps: {mend}")
    return {key: value.sqrt() * unbiased ** (1 / 8) for name in layers for key, value in _factors(name, sums, 1, tokens)}


def momentum(lm: LM, layers: Layers) -> dict[str, Float[torch.Tensor, "i o"]]:
    """`b1 / (1 - b1) M` of each layer, M Adam's mean of gradients: what its step on a row adds to the row's own gradient."""
    adam = _adam(lm, ESTIMATED)
    parts = part_of(_named(lm, adam.groups, adam.means, ESTIMATED), lm, layers)
    scale = adam.b1 / (1 - adam.b1)
    return {
        name: scale * (part.float().T if isinstance(layers[name], torch.nn.Linear) else part.float())
        for name, part in parts.items()
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


def _shared(sums: Scales, layers: Layers) -> Scales:
    """The same where experts that no gradient has reached have the mean of all experts of their layer."""
    siblings: dict[str, list[str]] = {}
    for name in (name for name, module in layers.items() if isinstance(module, Expert)):
        siblings.setdefault(name.rpartition(".")[0], []).append(name)
    means: Scales = {}
    for names in siblings.values():
        for side in ("in", "out"):
            mean = torch.stack([sums[f"{name}/{side}"] for name in names]).mean(0)
            means |= {f"{name}/{side}": mean for name in names if not sums[f"{name}/{side}"].any()}
    return sums | means


def _factors(name: str, sums: Scales, n: int, tokens: Container[str]) -> list[tuple[str, torch.Tensor]]:
    """`(r c / (sum(r) n))^-1/2` as a factor for each side."""
    total = sums[f"{name}/in"].sum().clamp(min=torch.finfo(torch.float32).tiny)
    found = []
    for key in (f"{name}/in", f"{name}/out"):
        least = LEAST_TOKEN if key in tokens else LEAST
        floored = sums[key].clamp(min=least * float(sums[key].mean()) + torch.finfo(torch.float32).tiny)
        found.append((key, (floored / (total * n) ** 0.5).rsqrt()))
    return found


class _Adam(NamedTuple):
    """What is read of an Adam's state: the moments by the optimiser's own order, and how they were made."""

    groups: int
    squares: list[torch.Tensor | None]
    means: list[torch.Tensor | None]
    steps: float
    b1: float
    b2: float


def _of_optimizer(lm: LM, layers: Layers) -> Scales:
    return _sums(_adam(lm, ESTIMATED), lm, layers, ESTIMATED)


def _sums(adam: _Adam, lm: LM, layers: Layers, mend: str) -> Scales:
    """The row and column sums of each layer's second moments."""
    squares = _named(lm, adam.groups, adam.squares, mend)
    sums: Scales = {}
    for name, part in part_of(squares, lm, layers).items():
        square = part.float().T if isinstance(layers[name], torch.nn.Linear) else part.float()
        sums |= {f"{name}/in": square.sum(1), f"{name}/out": square.sum(0)}
    sums = _shared(sums, layers)
    for name in layers:
        if not 0 < float(sums[f"{name}/in"].sum()) < math.inf:
            raise LlmattrError(f"in the optimiser state the second moments of {name!r} are 0 or not finite: {mend}")
    return sums


def _adam(lm: LM, mend: str) -> _Adam:
    """The state beside the model; `mend` is what to do without one."""
    path = Path(lm.name) / "optimizer.pt"
    if not path.exists():
        raise LlmattrError(f"there is no optimiser state {str(path)!r}, which says how long Adam's steps were: {mend}")
    try:
        saved = torch.load(path, map_location=lm.device, weights_only=True)
        groups, states = saved["param_groups"], saved["state"]
        numbers = [number for group in groups for number in group["params"]]
        squares, means = ([states.get(number, {}).get(name) for number in numbers] for name in ("exp_avg_sq", "exp_avg"))
        steps = max(float(state.get("step", 0)) for state in states.values())
        b1, b2 = map(float, groups[0].get("betas", (0, math.nan)))
        return _Adam(len(groups), squares, means, steps, b1, b2)
    except Exception as error:  # torch raises what its readers raise, and a file of another kind what its parts do
        raise LlmattrError(f"cannot read {str(path)!r}: it is damaged, cut off or no state of an optimiser: {mend}") from error


def _named(lm: LM, groups: int, kept: list[torch.Tensor | None], mend: str) -> dict[str, torch.Tensor]:
    """What Adam keeps by parameter name: an optimiser numbers them in the model's order, matrices (decayed) first where it has
    two groups, as transformers' Trainer makes them. Shapes must agree."""
    every = [(name, parameter.shape) for name, parameter in lm.model.named_parameters()]
    if groups == 2:
        every = [x for x in every if len(x[1]) > 1] + [x for x in every if len(x[1]) < 2]
    found = {
        name: moment for (name, shape), moment in zip(every, kept, strict=False) if moment is not None and moment.shape == shape
    }
    if not len(found) == len(every) == len(kept):
        raise LlmattrError(f"the optimiser state does not fit the model's parameters one by one: {mend}")
    return found
