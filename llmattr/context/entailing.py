"""What an entailment model that the user names says of a sentence and a document."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmattr.core.sources import Document

if TYPE_CHECKING:
    from llmattr.model.judge import Judge


def load_judge(name: str | None) -> "Judge | None":
    """The model by its hub id or folder; None without one, and then torch is not imported."""
    if name is None:
        return None
    from llmattr.model.judge import Judge

    return Judge.load(name)


def entailed(judge: "Judge | None", documents: Sequence[Document], claim: str) -> float | None:
    """How likely the judge finds that the claim follows from one of the documents, behind its title; None without a judge."""
    premises = [": ".join(part for part in (one.title, one.text) if part) for one in documents]
    return None if judge is None else max(judge.probability(premise, claim) for premise in premises)
