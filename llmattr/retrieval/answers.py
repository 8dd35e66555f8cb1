"""Which texts have an answer, by the words that tell most."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, log

from llmattr.retrieval.bm25 import terms

HALF = 0.5  # of what an answer tells: so much of it, at least, has a text that has the answer


@dataclass(frozen=True)
class Telling:
    """How much each word tells: `log((n + 1) / k)` nats, k the texts, of n, that have it, 1 at least (Spärck Jones 1972)."""

    texts_with: Mapping[str, int]
    n: int

    @staticmethod
    def of(texts: Sequence[str]) -> "Telling":
        """By these texts, which stand for all."""
        return Telling(Counter(word for text in texts for word in set(terms(text))), len(texts))

    def has(self, words: set[str], answer: set[str]) -> bool:
        """Whether a text with these words has at least half of what the answer's words tell together.

        >>> told = Telling.of(["Ann's mother is Mary Lee.", "Bob's mother is Jane Roe."])
        >>> answer = {"her", "mother", "is", "mary", "lee"}
        >>> told.has({"mary", "lee", "is", "the", "mum", "of", "ann"}, answer), told.has({"bob", "s", "mother", "is"}, answer)
        (True, False)
        """
        return self._told(answer & words) >= HALF * self._told(answer)

    def _told(self, words: set[str]) -> float:
        return fsum(log((self.n + 1) / max(self.texts_with.get(word, 0), 1)) for word in words)
