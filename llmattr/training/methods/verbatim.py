"""What of an answer stands word for word in the training rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from llmattr.core.method import option
from llmattr.retrieval.verbatim import CHANCE, Corpus, Quoted
from llmattr.training.projection import Measure


@dataclass(frozen=True)
class Verbatim:
    """The longest spans of what was said that stand word for word in the row, the rarest first (OLMoTrace); asks no model.

    A row's score is the sum of their rarities, `-sum log p(word)` (arXiv 2504.07096). Punctuation, white space and
    case are not compared.

    Cost: a sorted copy of the rows' words on disk
    """

    name: ClassVar[str] = "verbatim"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "nats of rarity"
    measure: ClassVar[Measure] = "loss"
    chance: float = option(CHANCE, "how many spans as rare as one that counts an answer may have by chance")

    def keep(self, rows: Iterable[str], folder: Path) -> None:
        """The rows' words, and a suffix array of them."""
        Corpus.of(rows).save(folder)

    def quote(self, folder: Path, answers: Sequence[str]) -> list[Quoted]:
        """Found by halving, on disk."""
        corpus = Corpus.open(folder)
        return [corpus.quoted(answer, self.chance) for answer in answers]
