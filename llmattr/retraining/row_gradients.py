"""The gradient of each row's log-probability, and of each query's output, by itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmattr.model.odds import log_odds_of_logprob_tensor
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.trainer import Tokens, padded

Parameters = Mapping[str, torch.Tensor]
Gradients = dict[str, torch.Tensor]  # of several outputs or rows: each with one more dimension in front
Mask = torch.Tensor | None

TOGETHER = 10_000_000  # numbers in the gradients that are formed at once


def asked_gradients(trainer: CausalTrainer, model: torch.nn.Module, place: Parameters, stacked: bool) -> Iterable[Gradients]:
    """Those of the outputs, some at a time; of their mean the one of all queries."""
    asked = padded(trainer.queries.ids, trainer.queries.counted, next(iter(place.values())).device)

    def outputs(place: Parameters, asked: Tokens, mask: Mask = None) -> torch.Tensor:
        return _trainer_outputs(trainer, said(model, place, asked, mask))

    if trainer.mean:
        whole = torch.func.grad(lambda place: outputs(place, asked)[0])(place)
        return [{name: part[None] for name, part in whole.items()}]
    return each_gradient(outputs, place, asked, stacked)


def each_gradient(value: Callable[..., torch.Tensor], place: Parameters, rows: Tokens, stacked: bool) -> Iterator[Gradients]:
    """The gradient of each row's value by itself; of models that can be stacked those of some rows at a time."""

    def one(place: Parameters, ids: torch.Tensor, counted: torch.Tensor, mask: Mask = None) -> torch.Tensor:
        return value(place, (ids[None], counted[None]), mask)[0]

    ids, counted = rows
    if not stacked:
        for row, counts in zip(ids, counted, strict=True):
            yield {name: part[None] for name, part in torch.func.grad(one)(place, row, counts).items()}
        return
    length, dtype = ids.shape[1], next(iter(place.values())).dtype
    causal = torch.full((length, length), torch.finfo(dtype).min, dtype=dtype, device=ids.device).triu(1)[None, None]
    each = torch.func.vmap(torch.func.grad(one), (None, 0, 0, None))
    size = max(1, TOGETHER // sum(part.numel() for part in place.values()))
    for some, counts in zip(ids.split(size), counted.split(size), strict=True):
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels know no vmap
            yield each(place, some, counts, causal)  # with a mask of its own a model looks for no padding


def _trainer_outputs(trainer: CausalTrainer, sums: Float[torch.Tensor, " q"]) -> Float[torch.Tensor, " t"]:
    """What `CausalTrainer.values` does with each query's log-probability, in tensors."""
    if trainer.measure == "logit":
        sums = log_odds_of_logprob_tensor(sums)
    return sums.mean(0, keepdim=True) if trainer.mean else sums


def said(model: torch.nn.Module, place: Parameters, rows: Tokens, mask: Mask = None) -> Float[torch.Tensor, " b"]:
    """The log-probability of each row's counted tokens, with these parameters [b]."""
    ids, counted = rows
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    if mask is not None:  # from which some (OPT) would count their positions
        given["position_ids"] = torch.arange(ids.shape[1], device=ids.device)[None]
    logits = torch.func.functional_call(model, dict(place), (), given).logits[:, :-1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logprobs = torch.log_softmax(logits, dim=-1).gather(-1, ids[:, 1:, None])[..., 0]
    return (logprobs * counted[:, 1:]).sum(1)
