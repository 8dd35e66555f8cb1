"""What each source gives alone, weighed by the words that it shares with the sentence: cheap citations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from llmattr.context.methods.games import Alone
from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.retrieval.bm25 import bm25_scores

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation

SHARE = 0.25  # of the highest score: half of it in each of the two signs


@dataclass(frozen=True)
class Fused:
    """Each source alone, times the words that it shares with the sentence: the cheapest citations, one short pass a source.

    `max(f(i alone) - f(none), 0) * BM25(i, sentence) / max_j BM25(j, sentence)`, in nats: what only one of two independent
    signs finds is no citation. Where no word is shared (another language, another script) the first sign stands alone.

    Cost: n + 1
    """

    name: ClassVar[str] = "fused"
    family: ClassVar[str] = "corroborative"
    share: float = option(SHARE, "of a sentence's highest score that a citation has at least", below=1.000001)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target of the ablation."""
        alone = Alone().attribute(ablation, seed)
        words = bm25_scores(ablation.sources.texts, ablation.targets.texts)
        highest = words.max(axis=1, keepdims=True, initial=0.0)
        weights = np.divide(words, highest, out=np.ones_like(words), where=highest > 0)
        return Attribution(
            values=np.maximum(alone.values, 0.0) * weights,
            sources=alone.sources,
            targets=alone.targets,
            unit=alone.unit,
            method=alone.method,
            run=alone.run,
            share=self.share,
        )
