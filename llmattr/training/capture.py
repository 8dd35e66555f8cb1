"""Per-example gradients of linear layers, from hooks: inputs A [b, s, i] and output gradients G [b, s, o].

The gradient of example b for a layer is `A[b].T @ G[b]` [i, o] (`torch.nn.Linear` keeps its transpose). Weights are frozen
while this runs, so autograd forms no weight gradient, not even for a head tied to the embeddings.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from llmattr.errors import LlmattrError
from llmattr.lm import LM
from llmattr.training.data import Examples

Measure = Literal["loss", "margin"]
HEAD_LOGITS = 2**24  # logits held at once in the chunked head: 64 MB in float32


@runtime_checkable
class Recorder(Protocol):
    """What becomes of A and G: `keep` is called in the forward pass, `gradient` with what it returned in the backward."""

    def keep(self, name: str, inputs: Float[torch.Tensor, "b s i"]) -> Any:
        """What to keep of a layer's inputs until its output gradient comes."""
        ...

    def gradient(self, name: str, kept: Any, outputs: Float[torch.Tensor, "b s o"]) -> None:
        """A layer's output gradient, with what was kept of its inputs."""
        ...


def linear_layers(lm: LM, pattern: str = "") -> dict[str, torch.nn.Module]:
    """The linear layers to track: those whose name the expression finds; without one all but the head.

    Of a PEFT model these are the adapter's own layers. Raises `LlmattrError` when there is none, with some names that exist.
    """
    head = lm.model.get_output_embeddings()
    read = _layers_that_run(lm)
    every = {name: module for name, module in lm.linears().items() if module is not head and name in read}
    adapter = {name: module for name, module in every.items() if "lora_" in name}
    try:
        found = {name: module for name, module in (adapter or every).items() if re.search(pattern, name)}
    except re.error as error:
        raise LlmattrError(f"modules {pattern!r} is no regular expression: {error}") from None
    if not found:
        some = ", ".join(list(every)[:5]) or "none at all"
        raise LlmattrError(f"no linear layer has a name that {pattern!r} finds; there are: {some} (the head is never tracked)")
    return found


def _layers_that_run(lm: LM) -> set[str]:
    """The linear layers that a forward pass goes through on [batch, tokens, width]; some models use a layer's weight alone,
    some flatten batch and tokens, and their gradients cannot be told apart by example."""
    found: set[str] = set()

    def watch(name: str) -> Any:
        return lambda _module, _inputs, output: found.add(name) if output.dim() == 3 else None

    handles = [module.register_forward_hook(watch(name)) for name, module in lm.linears().items()]
    with torch.no_grad():
        lm.model(input_ids=torch.tensor([[0, 1]], device=lm.device))
    for handle in handles:
        handle.remove()
    return found


@contextmanager
def hooks(model: torch.nn.Module, layers: dict[str, torch.nn.Module], recorder: Recorder) -> Iterator[None]:
    """Record the layers' inputs and output gradients, with every weight of the model frozen."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    handles = [module.register_forward_hook(_forward_hook(name, recorder)) for name, module in layers.items()]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for handle in handles:
            handle.remove()


def _forward_hook(name: str, recorder: Recorder) -> Any:
    def hook(_module: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        if not torch.is_grad_enabled():
            return
        if output.dim() != 3:
            raise LlmattrError(
                f"layer {name!r} works on {output.dim()} dimensions, not on [batch, tokens, width]: leave it out (modules)"
            )
        if not output.requires_grad:  # the graph starts here: nothing before the first tracked layer is differentiated
            output.requires_grad_(True)
        kept = recorder.keep(name, inputs[0].detach())
        output.register_hook(lambda gradient: recorder.gradient(name, kept, gradient))

    return hook


def run_backward(lm: LM, examples: Examples, rows: Sequence[int], measure: Measure = "loss") -> Float[np.ndarray, "b s"]:
    """Run a batch forward and backward through the hooks; return the measure of each counted token, 0 elsewhere.

    The differentiated sum is, over each example's counted tokens, `-log p` ("loss") or `log(p / (1 - p))` ("margin").
    """
    ids, seen, counted = _pad(lm, examples, rows)
    with torch.enable_grad():
        if has_plain_head(lm):
            hidden = _call(lm.model.base_model, ids, seen)[0]
            values = _chunked_head(lm.model.get_output_embeddings(), hidden[:, :-1], ids[:, 1:], counted[:, 1:], measure)
        else:
            logits = _call(lm.model, ids, seen).logits[:, :-1][counted[:, 1:]]
            values = _measure(logits, ids[:, 1:][counted[:, 1:]], measure)
            values.sum().backward()
    out = torch.zeros(ids.shape, dtype=torch.float64)
    out[counted.cpu()] = values.detach().cpu().double()
    return out.numpy()


def _pad(lm: LM, examples: Examples, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, which of them are real and which the loss counts, padded on the right: causal rows never see padding."""
    longest = max(len(examples.ids[row]) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    seen, counted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for place, row in enumerate(rows):
        length = len(examples.ids[row])
        ids[place, :length] = torch.tensor(examples.ids[row])
        seen[place, :length] = 1
        counted[place, :length] = torch.from_numpy(examples.counted[row])
    return ids.to(lm.device), seen.to(lm.device), counted.to(lm.device)


def _call(model: Any, ids: torch.Tensor, seen: torch.Tensor) -> Any:
    known = inspect.signature(model.forward).parameters
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}
    if not seen.all():
        options["attention_mask"] = seen
    return model(input_ids=ids, **options)


def has_plain_head(lm: LM) -> bool:
    """Whether the model's logits are its head applied to its base model's output, with nothing after it (softcaps, scales)."""
    head, base = lm.model.get_output_embeddings(), getattr(lm.model, "base_model", None)
    if head is None or base is None or base is lm.model:
        return False
    if not hasattr(lm.model, "_llmattr_plain_head"):
        ids = torch.tensor([[0, 1]], device=lm.device)
        with torch.no_grad():
            ours, theirs = head(_call(base, ids, torch.ones_like(ids))[0]), _call(lm.model, ids, torch.ones_like(ids)).logits
        lm.model._llmattr_plain_head = ours.shape == theirs.shape and bool(torch.equal(ours, theirs))
    return lm.model._llmattr_plain_head


def _chunked_head(
    head: torch.nn.Module,
    hidden: Float[torch.Tensor, "b s d"],
    labels: Int[torch.Tensor, "b s"],
    counted: Bool[torch.Tensor, "b s"],
    measure: Measure,
) -> Float[torch.Tensor, " k"]:
    """The counted positions' measures, back-propagated: logits and their gradient exist for one chunk at a time."""
    chosen, labels = hidden[counted], labels[counted]
    gradient, values = torch.empty_like(chosen), []
    size = max(1, HEAD_LOGITS // head.get_parameter("weight").shape[0])
    for start in range(0, len(labels), size):
        part = chosen[start : start + size].detach().requires_grad_(True)
        value = _measure(head(part), labels[start : start + size], measure)
        gradient[start : start + size] = torch.autograd.grad(value.sum(), part)[0]
        values.append(value.detach())
    chosen.backward(gradient)
    return torch.cat(values)


def _measure(logits: Float[torch.Tensor, "k v"], labels: Int[torch.Tensor, " k"], measure: Measure) -> torch.Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if measure == "loss":
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return logits.gather(1, labels[:, None])[:, 0] - others


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
        """Form the gradient of each example; a layer used twice adds up."""
        gradient = torch.einsum("bsi,bso->bio", kept, outputs)
        self.found[name] = self.found[name] + gradient if name in self.found else gradient

    def take(self, names: Sequence[str]) -> Float[torch.Tensor, "b d"]:
        """The gradients of these layers side by side; start anew."""
        rows = torch.cat([self.found[name].flatten(1) for name in names], dim=1)
        self.found = {}
        return rows


def exact_gradients(
    lm: LM, examples: Examples, layers: dict[str, torch.nn.Module], measure: Measure = "loss", batch: int = 8
) -> Float[torch.Tensor, "n d"]:
    """Every example's whole gradient [n, d] over the layers: n x d numbers in memory."""
    recorder, rows = ExactGradients(), []
    with hooks(lm.model, layers, recorder):
        for start in range(0, len(examples), batch):
            run_backward(lm, examples, range(start, min(start + batch, len(examples))), measure)
            rows.append(recorder.take(list(layers)))
    return torch.cat(rows)
