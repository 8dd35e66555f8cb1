"""Per-example gradients of linear layers, from hooks: inputs A [b, s, i] and output gradients G [b, s, o].

The gradient of example b for a layer is `A[b].T @ G[b]` [i, o] (`torch.nn.Linear` keeps its transpose). Weights are frozen
while this runs, so autograd forms no weight gradient, not even for a head tied to the embeddings.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from jaxtyping import Float

from llmattr.core.seeded import generator
from llmattr.errors import LlmattrError, check_choice
from llmattr.model.batches import Batch, make_batch
from llmattr.model.forward import evaluating, remembered
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.layers import probe, weight
from llmattr.training.gradients.recorders import ExactGradients, Passes, Recorder, not_finite

Measure = Literal["loss", "margin", "sampled"]
HEAD_LOGITS = 2**24  # logits held at once in the chunked head: 64 MB in float32


class Run(Protocol):
    """Runs a batch forward and backward through a recorder, as `run_backward` does."""

    def __call__(
        self, examples: Examples, rows: Sequence[int], measure: Measure = "loss", seed: int = 0
    ) -> list[Float[np.ndarray, " r"]]:
        """The measure of each row's counted tokens."""
        ...


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
    def hook(_module: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        if not torch.is_grad_enabled():
            return None
        if output.dim() != 3:  # as DoRA, which takes the norm of the weight that way, and no gradient of it
            if output.requires_grad:
                output.register_hook(lambda _: _refuse(name, output.dim()))
            return None
        if not output.requires_grad:  # the graph starts here: nothing before the first tracked layer is differentiated
            output = output.requires_grad_(True).clone()  # no leaf, which a model could not change in place
        given = inputs[0].detach()
        kept, version = recorder.keep(name, given), given._version

        def gradient(outputs: torch.Tensor) -> None:
            if any(part is given for part in (kept if isinstance(kept, tuple) else (kept,))) and given._version != version:
                raise LlmattrError(f"layer {name!r} has its inputs changed in place after it ran: leave it out (modules)")
            recorder.gradient(name, kept, outputs.view(output.shape))

        _unchanged(output).register_hook(gradient)
        return output

    return hook


def _unchanged(output: torch.Tensor) -> torch.Tensor:
    """What to hang a hook on that stays where a model changes the output in place: a view would get another history."""
    whole = output._base
    return output if whole is None or whole.numel() != output.numel() or not output.is_contiguous() else whole


def _refuse(name: str, dimensions: int) -> None:
    raise LlmattrError(
        f"layer {name!r} works on {dimensions} dimensions, not on [batch, tokens, width]: leave it out (modules)"
    )


@contextmanager
def capturing(lm: LM, layers: dict[str, torch.nn.Module], recorder: Recorder) -> Iterator[Run]:
    """Within, `run(examples, rows)` takes a batch through the model and the recorder, and raises for what is not finite."""
    passes = Passes(recorder)

    def run(examples: Examples, rows: Sequence[int], measure: Measure = "loss", seed: int = 0) -> list[Float[np.ndarray, " r"]]:
        values = run_backward(lm, examples, rows, measure, seed)
        passes.end(examples, rows)
        for row, value in zip(rows, values, strict=True):
            if not np.isfinite(value).all():
                raise not_finite(f"the {measure} of {examples.name(row)}")
        return values

    with hooks(lm.model, layers, passes):
        yield run


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
    with capturing(lm, layers, recorder) as run:
        for batch in batches:
            run(examples, batch, measure, seed)


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


def exact_gradients(
    lm: LM, examples: Examples, layers: dict[str, torch.nn.Module], measure: Measure = "loss", batch: int = 8
) -> Float[torch.Tensor, "n d"]:
    """Every example's whole gradient [n, d] over the layers: n x d numbers in memory."""
    recorder, rows = ExactGradients(), []
    with capturing(lm, layers, recorder) as run:
        for start in range(0, len(examples), batch):
            run(examples, range(start, min(start + batch, len(examples))), measure)
            rows.append(recorder.take(list(layers)))
    return torch.cat(rows)
