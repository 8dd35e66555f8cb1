"""Per-example gradients of linear layers, from hooks: inputs A [b, s, i] and output gradients G [b, s, o].

The gradient of example b for a layer is `A[b].T @ G[b]` [i, o] (`torch.nn.Linear` keeps its transpose). Weights are frozen
while this runs, so autograd forms no weight gradient, not even for a head tied to the embeddings.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from llmattr.data import Examples
from llmattr.errors import LlmattrError, check_choice
from llmattr.forward import abilities, evaluating, remembered
from llmattr.lm import LM
from llmattr.seeded import generator

Measure = Literal["loss", "margin", "sampled"]
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
    try:
        with evaluating(lm.model), torch.no_grad():
            lm.model(**probe(lm.model))
    finally:
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
        with evaluating(model):
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


def run_backward(
    lm: LM, examples: Examples, rows: Sequence[int], measure: Measure = "loss", seed: int = 0
) -> list[Float[np.ndarray, " r"]]:
    """Run a batch forward and backward through the hooks; return the measure of each row's counted tokens.

    The differentiated sum is, over each example's counted tokens, `-log p` ("loss"), `log(p / (1 - p))` ("margin"), or the
    loss of tokens drawn from the model's own distribution ("sampled", for Fisher matrices; the draw depends on the seed and on
    the row's tokens).
    """
    check_choice("measure", measure, get_args(Measure))
    batch = make_batch(lm, examples, rows)
    wanted = _uniform(batch, examples, rows, seed) if measure == "sampled" else batch.labels
    with torch.enable_grad():
        if has_plain_head(lm.model):
            hidden = lm.model.base_model(**batch.inputs)[0][batch.at]
            values = _chunked_head(lm.model.get_output_embeddings(), hidden, wanted, measure)
        else:
            values = _measure(lm.model(**batch.inputs).logits[batch.at], wanted, measure)
            values.sum().backward()
    return list(np.split(values.detach().cpu().double().numpy(), np.cumsum(batch.at.sum(1).tolist())[:-1]))


def record(
    lm: LM,
    examples: Examples,
    layers: dict[str, torch.nn.Module],
    recorder: Recorder,
    batches: Iterable[Sequence[int]],
    measure: Measure = "loss",
    seed: int = 0,
) -> None:
    """Run all batches through a recorder that adds up what it sees."""
    with hooks(lm.model, layers, recorder):
        for batch in batches:
            run_backward(lm, examples, batch, measure, seed)


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded inputs of a model, the places [b, s] of its output that predict counted tokens, and those k tokens."""

    inputs: dict[str, torch.Tensor]
    at: Bool[torch.Tensor, "b s"]
    labels: Int[torch.Tensor, " k"]


def make_batch(lm: LM, examples: Examples, rows: Sequence[int]) -> Batch:
    """Padded on the right, where nothing that counts ever sees it."""
    tokens = [torch.tensor(examples.ids[row]) for row in rows]
    counted = [torch.from_numpy(examples.counted[row]) for row in rows]
    ids, said = _pad(lm, tokens), _pad(lm, counted)
    if lm.kind == "seq2seq":  # the encoder reads what does not count, the decoder says what does
        labels = [t[c] for t, c in zip(tokens, counted, strict=True)]
        before = _pad(lm, [torch.cat([torch.tensor([lm.model.config.decoder_start_token_id]), one[:-1]]) for one in labels])
        encoder = [t[~c] for t, c in zip(tokens, counted, strict=True)]
        inputs = _inputs(lm, _pad(lm, encoder), _lengths(lm, encoder)) | {"decoder_input_ids": before}
        at = _lengths(lm, labels).bool()
        return Batch(inputs, at, _pad(lm, labels)[at])
    if lm.kind == "masked":
        hidden = ids.masked_fill(said, lm.tokenizer.mask_token_id)
        return Batch(_inputs(lm, hidden, _lengths(lm, tokens)), said, ids[said])
    predicts = torch.cat([said[:, 1:], torch.zeros_like(said[:, :1])], dim=1)  # a token is predicted one place before it
    return Batch(_inputs(lm, ids, _lengths(lm, tokens)), predicts, ids[said])


def _pad(lm: LM, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(lm.device)


def _lengths(lm: LM, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return _pad(lm, [torch.ones(len(row), dtype=torch.long) for row in rows])


def _inputs(lm: LM, ids: torch.Tensor, seen: torch.Tensor) -> dict[str, Any]:
    masked = {} if seen.all() else {"attention_mask": seen}
    return {"input_ids": ids, **masked, **abilities(lm.model).without_cache}


def probe(model: Any) -> dict[str, Any]:
    """The inputs of a forward pass of two tokens, to see how a model is built."""
    ids = torch.tensor([[0, 1]], device=model.device)
    return {"input_ids": ids} | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})


def _uniform(batch: Batch, examples: Examples, rows: Sequence[int], seed: int) -> Float[torch.Tensor, " k"]:
    """Numbers in [0, 1) that choose the sampled tokens: they depend on a row's tokens, whatever batch and place it has."""
    counts = batch.at.sum(1).tolist()
    numbers = [generator(seed, "labels", str(examples.ids[row])).random(n) for row, n in zip(rows, counts, strict=True)]
    return torch.from_numpy(np.concatenate(numbers)).to(batch.at.device)


@remembered
def has_plain_head(model: Any) -> bool:
    """Whether the model's logits are its head applied to its base model's output, with nothing after it (softcaps, scales)."""
    head, base = model.get_output_embeddings(), getattr(model, "base_model", None)
    if head is None or base is None or base is model:
        return False
    hidden, theirs = base(**probe(model))[0], model(**probe(model)).logits
    return hidden.shape[-1] == weight(head).shape[-1] and torch.equal(head(hidden), theirs)


def weight(module: torch.nn.Module) -> torch.Tensor:
    """A linear layer's weight."""
    return module.get_parameter("weight")


def _chunked_head(
    head: torch.nn.Module, hidden: Float[torch.Tensor, "k d"], labels: torch.Tensor, measure: Measure
) -> Float[torch.Tensor, " k"]:
    """The counted positions' measures, back-propagated: logits and their gradient exist for one chunk at a time."""
    gradient, values = torch.empty_like(hidden), []
    size = max(1, HEAD_LOGITS // weight(head).shape[0])
    for start in range(0, len(labels), size):
        part = hidden[start : start + size].detach().requires_grad_(True)
        value = _measure(head(part), labels[start : start + size], measure)
        gradient[start : start + size] = torch.autograd.grad(value.sum(), part)[0]
        values.append(value.detach())
    hidden.backward(gradient)
    return torch.cat(values)


def _measure(logits: Float[torch.Tensor, "k v"], labels: torch.Tensor, measure: Measure) -> Float[torch.Tensor, " k"]:
    """The measure of each place; `labels` are tokens, or the numbers in [0, 1) that choose them ("sampled")."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if measure == "sampled":
        sums = logits.detach().softmax(-1).cumsum(-1)
        drawn = labels[:, None].to(sums.dtype) * sums[:, -1:]
        labels = torch.searchsorted(sums, drawn, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
    if measure != "margin":
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


class Scratch:
    """Memory for per-example gradients that lasts: fresh pages for each layer and batch cost more than the product itself."""

    def __init__(self) -> None:
        self.kept: dict[Any, torch.Tensor] = {}

    def gradients(self, inputs: Float[torch.Tensor, "b s i"], outputs: Float[torch.Tensor, "b s o"]) -> torch.Tensor:
        """`A.T @ G` [b, i, o] of each example; overwritten by the next call with these widths."""
        shape = (len(inputs), inputs.shape[2], outputs.shape[2])
        held = self.kept.get(shape[1:])
        if held is None or len(held) < shape[0] or held.dtype != outputs.dtype:
            held = self.kept[shape[1:]] = torch.empty(shape, dtype=outputs.dtype, device=outputs.device)
        return torch.bmm(inputs.mT, outputs, out=held[: shape[0]])


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
