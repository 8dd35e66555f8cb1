"""A batch forward and backward: what is differentiated, without all logits at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float

from llmattr.core.seeded import generator
from llmattr.errors import check_choice
from llmattr.model.batches import Batch, make_batch, plan
from llmattr.model.forward import evaluating, remembered
from llmattr.model.lm import LM
from llmattr.model.odds import log_odds_of_logits
from llmattr.text.rows import Examples
from llmattr.training.gradients.layers import Layers, in_and_out, weight
from llmattr.training.gradients.probing import probe
from llmattr.training.projection import Measure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_LOGITS = 2**24  # logits held at once in the chunked head: 64 MB in float32
WIDE = 2**26  # numbers of one layer's inputs or output gradients in a batch: 256 MB, where a side is the vocabulary


def batches(examples: Examples, layers: Layers, planned: Iterable[Sequence[int]] | None = None) -> list[Sequence[int]]:
    """`plan`'s batches, or those planned, in parts where a tracked layer is as wide as the vocabulary."""
    widest = max(max(in_and_out(module)) for module in layers.values())
    parts: list[Sequence[int]] = []
    for rows in plan(examples) if planned is None else planned:
        most = max(1, WIDE // (widest * max(len(examples.ids[row]) for row in rows)))
        parts += [rows[start : start + most] for start in range(0, len(rows), most)]
    return parts


def run_backward(
    lm: LM, examples: Examples, rows: Sequence[int], measure: Measure = "loss", seed: int = 0, *, with_head: bool = False
) -> list[Float[np.ndarray, " r"]]:
    """Run a batch forward and backward through the hooks; return the measure of each row's counted tokens.

    The differentiated sum is, over each example's counted tokens, `-log p` ("loss"), `log(p / (1 - p))` ("margin"), or the
    loss of tokens drawn from the model's own distribution ("sampled", for Fisher matrices; the draw depends on the seed and on
    the row's tokens). `with_head`: the head's own hook sees the batch's counted places as [b, k, d], else a few at a time.
    """
    check_choice("measure", measure, get_args(Measure))
    batch = make_batch(lm, examples, rows)
    wanted = _uniform(batch, examples, rows, seed) if measure == "sampled" else batch.labels
    with torch.enable_grad():
        head = lm.model.get_output_embeddings()
        if head is not None and has_plain_head(lm.model):
            hidden = lm.model.base_model(**batch.inputs)[0]
            by = _whole_head if with_head else _chunked_head
            values = by(head, hidden, batch.at, wanted, measure)
        else:
            values = _measure(lm.model(**batch.inputs).logits[batch.at], wanted, measure)
            values.sum().backward()
    return _by_row(values, batch)


def token_losses(lm: LM, examples: Examples) -> list[Float[np.ndarray, " _"]]:
    """`-log p` of each example's counted tokens, in nats, by forward passes alone."""
    return token_measures(lm, examples, lambda logits, labels: _measure(logits, labels, "loss"))


def token_measures(
    lm: LM, examples: Examples, of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> list[Float[np.ndarray, "_ *m"]]:
    """What `of` makes of the logits [k, v] of counted tokens [k], for each example's; by forward passes alone."""
    found: dict[int, np.ndarray] = {}
    with evaluating(lm.model), torch.no_grad():
        for rows in plan(examples):
            batch = make_batch(lm, examples, rows)
            found |= zip(rows, _by_row(_forward(lm, batch, of), batch), strict=True)
    return [found[row] for row in range(len(examples))]


def _forward(lm: LM, batch: Batch, of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Float[torch.Tensor, "k *m"]:
    head = lm.model.get_output_embeddings()
    if head is None or not has_plain_head(lm.model):
        return of(lm.model(**batch.inputs).logits[batch.at], batch.labels)
    hidden, size = lm.model.base_model(**batch.inputs)[0][batch.at], _held(head)
    parts = zip(hidden.split(size), batch.labels.split(size), strict=True)
    return torch.cat([of(head(part), labels) for part, labels in parts])


def _held(head: torch.nn.Module) -> int:
    """Places whose logits are held at once."""
    return max(1, HEAD_LOGITS // weight(head).shape[0])


def _by_row(values: Float[torch.Tensor, "k *m"], batch: Batch) -> list[Float[np.ndarray, "_ *m"]]:
    """The values of a batch's counted tokens, each row's by themselves."""
    return list(np.split(values.detach().cpu().double().numpy(), np.cumsum(batch.at.sum(1).tolist())[:-1]))


def _uniform(batch: Batch, examples: Examples, rows: Sequence[int], seed: int) -> Float[torch.Tensor, " k"]:
    """Numbers in [0, 1) that choose the sampled tokens: they depend on a row's tokens, whatever batch and place it has."""
    counts = batch.at.sum(1).tolist()
    numbers = [generator(seed, "labels", str(examples.ids[row])).random(n) for row, n in zip(rows, counts, strict=True)]
    return torch.from_numpy(np.concatenate(numbers)).to(batch.at.device)


@remembered
def has_plain_head(model: "PreTrainedModel") -> bool:
    """Whether the model's logits are its head applied to its base model's output, with nothing after it (softcaps, scales)."""
    head, base = model.get_output_embeddings(), model.base_model
    if head is None or base is model:
        return False
    hidden, theirs = base(**probe(model))[0], model(**probe(model)).logits
    return hidden.shape[-1] == weight(head).shape[-1] and torch.equal(head(hidden), theirs)


def _whole_head(
    head: torch.nn.Module,
    hidden: Float[torch.Tensor, "b s d"],
    at: Bool[torch.Tensor, "b s"],
    labels: torch.Tensor,
    measure: Measure,
) -> Float[torch.Tensor, " k"]:
    """The counted positions' measures, back-propagated through a head whose inputs are those positions alone, by example."""
    rows = [one[counts] for one, counts in zip(hidden, at, strict=True)]
    counted = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    logits = head(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))
    values = _measure(logits[counted.to(at.device)], labels, measure)
    values.sum().backward()
    return values


def _chunked_head(
    head: torch.nn.Module,
    hidden: Float[torch.Tensor, "b s d"],
    at: Bool[torch.Tensor, "b s"],
    labels: torch.Tensor,
    measure: Measure,
) -> Float[torch.Tensor, " k"]:
    """The counted positions' measures, back-propagated: logits and their gradient exist for one chunk at a time."""
    hidden = hidden[at]
    gradient, values = torch.empty_like(hidden), []
    size = _held(head)
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
    return log_odds_of_logits(logits, labels)
