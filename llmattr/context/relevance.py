"""How much of what a sentence says each source has, by words: what a reader can check, beside what the model needed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from llmattr.core.sources import Sources
from llmattr.text.messages import Message
from llmattr.text.own_words import find, own_words, stated
from llmattr.text.split.languages import told_language

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.text.prompt import Prompt

COMPLETING = 0.5  # of the words that the best source has
SAMPLED = 100  # sources whose language is looked at


def relevance(ablation: "ContextAblation") -> Float[np.ndarray, "t n"]:
    """The share of the words which each target adds to the question that each source has; nan where none can be compared.

    So it is where the answer is in another language than the documents.
    """
    if languages(ablation.prompt) is not None:
        return np.full((len(ablation.targets), len(ablation.sources)), np.nan)
    told = asked(ablation.prompt.messages)
    rows = [stated(own_words(text, told), ablation.sources.texts) for text in ablation.targets.texts]
    return np.stack(rows)


def languages(prompt: "Prompt") -> tuple[str, str] | None:
    """That of the answer and that of the documents, where they are known and are two."""
    said, given = told_language(prompt.response), told_language(" ".join(prompt.sources.texts[:SAMPLED]))
    return (said, given) if said and given and said != given else None


def what_cannot_be_compared(prompt: "Prompt") -> list[str]:
    """What a reader must know where citations and verdicts lack something that they go by."""
    found = []
    if two := languages(prompt):
        found.append(
            f"the answer is in another language ({two[0]}) than the documents ({two[1]}): words are not compared, and verdicts "
            "go by what the model says with and without them"
        )
    if prompt.sources.quotable is not None and not prompt.sources.quotable.any():
        found.append("the documents have headings and marks alone, which cannot be quoted: nothing will be cited")
    return found


def asked(messages: Sequence[Message]) -> str:
    """What the user asked: the fixed text of his last turn that has any (what a tool returned may be a turn of his)."""
    turns = [message for message in messages if message.role == "user" and message.text.strip()] or messages
    return " ".join(part for part in turns[-1].parts if isinstance(part, str))


def completing(said: str, sources: Sources, cited: Sequence[int]) -> int | None:
    """The second hop: the source of another document that has what was asked and said and no cited source has.

    Models answer a second hop from memory, so that no ablation finds it. Of the words of question and sentence (`said`) that no
    cited source has, it has the most: half of what the best source has of all of them, or more. None where there is none.
    """
    if sources.groups is None or not cited:
        return None
    found = find(own_words(said), sources.texts)
    new = np.asarray(~found.has[:, list(cited)].any(axis=1))
    shares = found.of(new) / max(found.of().max(initial=0.0), 1e-9)
    elsewhere = ~np.isin(sources.groups, sources.groups[list(cited)])
    quotable = elsewhere if sources.quotable is None else elsewhere & sources.quotable
    shares = np.where(quotable, shares, 0.0)
    return int(shares.argmax()) if shares.max(initial=0.0) >= COMPLETING else None
