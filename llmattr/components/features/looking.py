"""A feature looked at: the texts that make it most active, and the features whose directions are nearest to its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from llmattr.components.features.dictionary import Dictionary
from llmattr.components.features.splice import place_of, standing
from llmattr.core.progress import progress
from llmattr.errors import LlmattrError, check_number
from llmattr.model.lm import LM

AROUND = 24  # tokens that are shown on either side of the strongest


@dataclass(frozen=True)
class Example:
    """A text (its number from 0) near the token that makes a feature most active: the tokens, and the code at each."""

    text: int
    tokens: list[str]
    codes: list[float]

    @property
    def highest(self) -> float:
        """The code by which it is ranked."""
        return max(self.codes)


@dataclass(frozen=True)
class Looked:
    """What is found of a feature: how often it is active in so many `tokens`, where most, and its neighbours by cosine."""

    feature: int
    active: int
    tokens: int
    examples: list[Example]
    neighbours: list[tuple[int, float]]


def look(lm: LM, dictionary: Dictionary, feature: int, texts: Sequence[Sequence[int]], count: int = 10) -> Looked:
    """A feature over these texts, one pass each: at most `count` of them, one example each, and as many neighbours.

    The first token of a text is left out, as where features are learnt. Raises `LlmattrError` where there is no such feature,
    and for a dictionary of another model.
    """
    check_feature(dictionary, feature)
    check_number("count", count, 1, whole=True)
    host, active, tokens = place_of(lm, dictionary), 0, 0
    found: list[Example] = []
    for number, ids in enumerate(progress(texts, "looking", "texts")):
        with torch.no_grad():
            codes = dictionary.encode(standing(lm, host, ids)[1:].to(dictionary.rows))[:, feature]
        active, tokens = active + int((codes > 0).sum()), tokens + len(codes)
        if bool((codes > 0).any()):
            found.append(_near(lm, number, ids[1:], codes.tolist()))
            found = sorted(found, key=lambda one: -one.highest)[:count]
    return Looked(feature, active, tokens, found, neighbours(dictionary.rows, feature, count))


def _near(lm: LM, number: int, ids: Sequence[int], codes: list[float]) -> Example:
    """The tokens around the strongest."""
    best = codes.index(max(codes))
    near = slice(max(0, best - AROUND), best + AROUND + 1)
    return Example(number, [lm.tokenizer.decode([token]) for token in ids[near]], codes[near])


def neighbours(rows: Float[torch.Tensor, "n d"], feature: int, count: int) -> list[tuple[int, float]]:
    """The other features whose decoder rows are nearest by cosine, the nearest first."""
    unit = torch.nn.functional.normalize(rows.detach(), dim=1)
    cosines = unit @ unit[feature]
    cosines[feature] = -torch.inf
    best = cosines.topk(min(count, len(rows) - 1))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def check_feature(dictionary: Dictionary, feature: int) -> None:
    """Raise `LlmattrError` where the dictionary has no feature of this number."""
    if not 0 <= feature < len(dictionary.rows):
        there = f"the dictionary {dictionary.origin.name!r} has features 0 to {len(dictionary.rows) - 1}"
        raise LlmattrError(f"feature {feature} is asked for, and {there}")
