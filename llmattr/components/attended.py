"""What each head attends to where the completion is predicted: what its section of the page shows beside its score."""

from collections.abc import Sequence

import torch

from llmattr.components.ablation import ComponentAblation
from llmattr.components.sites import sources_of
from llmattr.errors import LlmattrError
from llmattr.model.inside import response_attention
from llmattr.model.lm import LM
from llmattr.text.prompt import Rendered

ATTENTION = "attention"  # its name among an attribution's details
KEPT = 5  # tokens of each head

Attended = dict[str, list[list[int | str | float]]]  # by a head's id: the place of a token, the token, and its share


def attended(ablation: ComponentAblation) -> dict[str, list[Attended]]:
    """The detail `attention` of each target: of every head the tokens that it attends to most, one pass a query.

    A share is the mean attention over the positions that predict the completion. Nothing of a mean over queries, without heads,
    and of a model that gives no attention weights.
    """
    heads, queries = [site for site in ablation.sites if site.part == "heads"], ablation.asked.queries
    if not heads or queries is None:
        return {}
    ids = sources_of(heads).ids
    try:
        found = [_strongest(ablation.lm, request, ids) for request in ablation.asked.requests[: len(queries)]]
    except LlmattrError:  # some models have kernels alone
        return {}
    return {ATTENTION: found} if all(found) else {}


def _strongest(lm: LM, request: Rendered, ids: Sequence[str]) -> Attended:
    """Of each head of these ids; nothing where attention happens elsewhere than in the layers' heads."""
    sums = response_attention(lm, request, lambda weights, _values: weights.double().sum(dim=1, keepdim=True))
    shares = torch.cat([layer.sum(dim=1).cpu() for layer in sums]) / (request.response.stop - request.response.start)
    if len(shares) != len(ids):
        return {}
    best = shares.topk(min(KEPT, shares.shape[1]))
    ranked = zip(ids, best.indices.tolist(), best.values.tolist(), strict=True)
    return {
        head: [[place, lm.tokenizer.decode([request.ids[place]]), share] for place, share in zip(places, some, strict=True)]
        for head, places, some in ranked
    }
