"""Steering: what a model says while one of its features is held at a value."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llmattr.components.features.dictionary import Dictionary
from llmattr.components.features.looking import check_feature
from llmattr.components.features.splice import Splice, place_of
from llmattr.components.sites import changed
from llmattr.model.forward import evaluating
from llmattr.model.lm import LM


@contextmanager
def clamped(lm: LM, dictionary: Dictionary, feature: int, to: float) -> Iterator[None]:
    """Within, the model goes on with `x + (to - code) row` of this feature at every token (Templeton et al. 2024)."""
    check_feature(dictionary, feature)
    splice = Splice(dictionary, place_of(lm, dictionary), [feature])
    with evaluating(lm.model), changed(splice.sites[:1], lambda _site, codes: torch.full_like(codes, to)):
        yield


def steered(lm: LM, dictionary: Dictionary, feature: int, to: float, prompt: str, *, max_new_tokens: int = 40) -> str:
    """The model's greedy continuation of a prompt with the feature held at `to`, in the units of its codes."""
    with clamped(lm, dictionary, feature, to):
        return continued(lm, prompt, max_new_tokens)


def continued(lm: LM, prompt: str, max_new_tokens: int = 40) -> str:
    """The model's greedy continuation of a prompt as it is."""
    return lm.tokenizer.decode(lm.generate(lm.tokenizer(prompt)["input_ids"], max_new_tokens))
