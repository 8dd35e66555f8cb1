"""What becomes of A and G: the protocol, all runs of a layer as one, and whole gradients."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from llmattr.errors import LlmattrError
from llmattr.text.rows import Examples

Saved = torch.Tensor | tuple[torch.Tensor, ...]  # each [b, s, ...]


@runtime_checkable
class Recorder(Protocol):
    """What becomes of A and G: `keep` is called in the forward pass, `gradient` with what it returned in the backward.

    Under `capturing` every layer comes once in a pass, however often it runs.
    """

    def keep(self, name: str, inputs: Float[torch.Tensor, "b s i"]) -> Saved:
        """What to keep of a layer's inputs until its output gradient comes."""
        ...

    def gradient(self, name: str, kept: Any, outputs: Float[torch.Tensor, "b s o"]) -> None:
        """A layer's output gradient, with what this recorder kept of its inputs."""
        ...


class Passes:
    """A recorder that hands another one all runs of a layer in a pass as one run over all their tokens.

    A weight that is used several times has the sum of its runs' gradients, `A_1' G_1 + A_2' G_2 = [A_1; A_2]' [G_1; G_2]`, and
    what is made of it (a square, a length) is made of the sum. A layer that runs once is handed on at once.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.examples = 0  # in the pass, where that is known
        self.runs: Counter[str] = Counter()
        self.waiting: dict[str, list[tuple[Saved, torch.Tensor]]] = {}
        self.sums: dict[str, torch.Tensor] = {}  # of each row's output gradients: not finite where one of them is not

    def keep(self, name: str, inputs: torch.Tensor) -> Saved:
        """What the other recorder keeps."""
        self.runs[name] += 1
        return self.recorder.keep(name, inputs)

    def gradient(self, name: str, kept: Saved, outputs: torch.Tensor) -> None:
        """Hand it on, or wait for the layer's other runs."""
        sums = outputs.sum((1, 2), dtype=torch.promote_types(outputs.dtype, torch.float32))
        self.sums[name] = self.sums[name] + sums if name in self.sums else sums
        if self.runs[name] == 1:
            self.recorder.gradient(name, kept, outputs)
        else:
            self.waiting.setdefault(name, []).append((kept, outputs))

    def end(self, examples: Examples, rows: Sequence[int]) -> None:
        """Hand on what waits; the pass is over. Raises `LlmattrError` for a gradient that is not finite, by row and layer."""
        for name, runs in self.waiting.items():
            kept, outputs = zip(*runs, strict=True)
            self.recorder.gradient(name, _joined(kept), torch.cat(outputs, dim=1))
        sums, self.sums = self.sums, {}
        if lost := self.runs.keys() - sums.keys():
            raise LlmattrError(f"no gradient reaches the layer {min(lost)!r} in these rows: leave it out (modules)")
        self.runs.clear()
        self.waiting.clear()
        for name, values in sums.items() if not _all_finite(sums.values()) else ():
            if not torch.isfinite(values).all():
                row = rows[int((~torch.isfinite(values)).int().argmax())]
                raise not_finite(f"the gradient of {examples.name(row)}", f" at layer {name!r}")


def not_finite(what: str, where: str = "") -> LlmattrError:
    """The error for numbers of an example that are infinite, or none."""
    return LlmattrError(f"{what} is not finite{where}: load the model in float32 (dtype), or leave it out")


def _all_finite(parts: Iterable[torch.Tensor]) -> bool:
    """Asked once for all of them: each answer waits for the device."""
    return bool(np.isfinite(sum(float(part.double().sum()) for part in parts)))


def _joined(kept: Sequence[Saved]) -> Saved:
    """What was kept of several runs, as of one run over all their tokens."""
    if isinstance(kept[0], tuple):
        return tuple(torch.cat(parts, dim=1) for parts in zip(*kept, strict=True))
    return torch.cat([part for part in kept if isinstance(part, torch.Tensor)], dim=1)


class ExactGradients:
    """A recorder that forms every example's whole gradient: for small models, tests and exact methods.

    `take(names)` is [b, d], the layers' gradients A.T @ G flattened one after the other.
    """

    def __init__(self) -> None:
        self.found: dict[str, torch.Tensor] = {}

    def keep(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        """All of the inputs."""
        return inputs

    def gradient(self, name: str, kept: torch.Tensor, outputs: torch.Tensor) -> None:
        """Form the gradient of each example."""
        self.found[name] = torch.einsum("bsi,bso->bio", kept, outputs)

    def take(self, names: Sequence[str]) -> Float[torch.Tensor, "b d"]:
        """The gradients of these layers side by side; start anew."""
        rows = torch.cat([self.found[name].flatten(1) for name in names], dim=1)
        self.found = {}
        return rows


class Scaled:
    """Another recorder, of gradients `s_in g s_out`: A's and G's columns are multiplied ("layer/in", "layer/out") before it."""

    def __init__(self, recorder: Recorder, scales: dict[str, torch.Tensor]) -> None:
        self.recorder, self.scales = recorder, scales

    def keep(self, name: str, inputs: torch.Tensor) -> Saved:
        """What the other keeps of the scaled inputs."""
        return self.recorder.keep(name, inputs * self.scales[f"{name}/in"].to(inputs.dtype))

    def gradient(self, name: str, kept: Saved, outputs: torch.Tensor) -> None:
        """Give the scaled output gradients on."""
        self.recorder.gradient(name, kept, outputs * self.scales[f"{name}/out"].to(outputs.dtype))


HELD = 2**26  # numbers of per-example gradients at once: 256 MB


class Scratch:
    """Memory for per-example gradients that lasts: fresh pages for each layer and batch cost more than the product itself."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, ...], torch.Tensor] = {}

    def gradients(self, inputs: Float[torch.Tensor, "b s i"], outputs: Float[torch.Tensor, "b s o"]) -> torch.Tensor:
        """`A.T @ G` [b, i, o] of each example; overwritten by the next call with these widths."""
        shape = (len(inputs), inputs.shape[2], outputs.shape[2])
        held = self.kept.get(shape[1:])
        if held is None or len(held) < shape[0] or held.dtype != outputs.dtype:
            held = self.kept[shape[1:]] = torch.empty(shape, dtype=outputs.dtype, device=outputs.device)
        return torch.bmm(inputs.mT, outputs, out=held[: shape[0]])

    def parts(
        self, inputs: Float[torch.Tensor, "b s i"], outputs: Float[torch.Tensor, "b s o"]
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """The same for as many examples at once as are no more than `HELD` numbers, with their places in the batch."""
        most = max(1, HELD // (inputs.shape[2] * outputs.shape[2]))
        for start in range(0, len(inputs), most):
            part = slice(start, start + most)
            yield part, self.gradients(inputs[part], outputs[part])
