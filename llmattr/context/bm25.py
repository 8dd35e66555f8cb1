"""BM25: which sources share rare words with the target? It corroborates; the model is not asked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr.context.similarity import similarities
from llmattr.method import option
from llmattr.texts import bm25_scores
from llmattr.types import Attribution

if TYPE_CHECKING:
    from llmattr.context.ablation import ContextAblation


@dataclass(frozen=True)
class Bm25:
    """Okapi BM25 of the source's words for the target's (Robertson and Zaragoza 2009); the model is not asked."""

    name: ClassVar[str] = "bm25"
    family: ClassVar[str] = "corroborative"
    k1: float = option(1.5, "how soon a repeated word stops adding")
    b: float = option(0.75, "how much long sources are held back", below=1.000001)
    idf: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = option("lucene", "the variant of the weights")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores from 0 up, one row per target of the ablation, whose text is the query."""
        values = bm25_scores(ablation.sources.texts, ablation.targets.texts, self.k1, self.b, self.idf)
        return similarities(self, ablation, values, "BM25")
