"""Baselines, which every other method has to beat: chance, the longest source, and the most words in common."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmattr.context.methods.retrieval import similarities
from llmattr.core.attribution import Attribution
from llmattr.retrieval.baselines import MEANING, lengths, random_scores, word_shares

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation


@dataclass(frozen=True)
class Random:
    """Standard normal numbers, drawn from the seed and the texts of target and source: a baseline, which cites nothing.

    Cost: 0
    """

    name: ClassVar[str] = "random"
    family: ClassVar[str] = "reference"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores without a unit, one row per target of the ablation; the order of the sources plays no part."""
        values = random_scores(ablation.sources.texts, ablation.targets.texts, seed)
        return dataclasses.replace(similarities(self, ablation, values, "random numbers"), meaning=MEANING)


@dataclass(frozen=True)
class Length:
    """The number of characters of the source, whatever was said: a baseline, which cites nothing.

    Cost: 0
    """

    name: ClassVar[str] = "length"
    family: ClassVar[str] = "reference"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Characters, the same row for every target of the ablation."""
        values = lengths(ablation.sources.texts, ablation.targets.texts)
        return dataclasses.replace(similarities(self, ablation, values, "characters"), meaning=MEANING)


@dataclass(frozen=True)
class WordShare:
    """The share of the target's different words that the source has: a baseline, which cites nothing.

    Cost: 0
    """

    name: ClassVar[str] = "word-share"
    family: ClassVar[str] = "reference"

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores from 0 to 1, one row per target of the ablation, whose text is the query."""
        values = word_shares(ablation.sources.texts, ablation.targets.texts)
        return dataclasses.replace(similarities(self, ablation, values, "share of words"), meaning=MEANING)
