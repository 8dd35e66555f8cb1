"""What an entailment model that the user names says of a sentence and a document."""

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


def entailed(judge: "Judge | None", document: Document, quote: tuple[int, int] | None, claim: str) -> float | None:
    """How likely the judge finds that the claim follows from a document: from its best passage, or as much as it can read."""
    if judge is None:
        return None
    premises = [document.text, *([document.text[slice(*quote)]] if quote else [])]
    return max(judge.probability(premise, claim) for premise in premises)
