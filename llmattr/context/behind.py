"""The sentences of an answer behind each document alone: what `check` asks a model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.context.contrary import beside
from llmattr.context.entailing import entailed
from llmattr.context.opening import check_length, scorer_of, store_of
from llmattr.context.relevance import relevance
from llmattr.context.removal.ablation import ContextAblation, Store
from llmattr.context.removal.cache import limit
from llmattr.context.signs import Reading
from llmattr.context.standing import Sentence, Support, best_passage, clauses
from llmattr.core.evidence import LEAST_PER_TOKEN, LEAST_SUPPORT, Signs, Verdict, verdict_of
from llmattr.core.sources import Sources, Targets
from llmattr.errors import note
from llmattr.text.messages import Message
from llmattr.text.prompt import Prompt
from llmattr.text.shapes import Marked
from llmattr.text.split.languages import language_of
from llmattr.text.split.talk import without_tag

if TYPE_CHECKING:
    from llmattr.model.judge import Judge


def by_model(
    model: object,
    marked: Marked,
    asked: tuple[tuple[Message, ...], Sources, Sequence[Any]],
    judge: "Judge | None",
    cache: str | Path | None,
) -> tuple[list[tuple[int, int]], list[Sentence], dict[str, Any]]:
    """Each sentence held against each document by what the model says behind that document alone, and behind all others.

    `asked`: the chat, what is removed of it, and the tools that the model could call.
    """
    chat, parts, tools = asked
    room = limit() if cache is not None else 0.0
    lm = scorer_of(model)
    prompt = Prompt(lm.tokenizer, chat, parts, tools=tuple(tools)).with_response(marked.answer)
    check_length(lm, prompt)
    for oddity in prompt.oddities():
        note(oddity)
    store = Store() if cache is None else store_of(cache, room, lm, prompt)
    ablation = ContextAblation(lm, prompt, _targets(prompt, marked), store)
    found = _Behind(ablation, marked, judge)
    assert ablation.targets.spans is not None  # of a response, targets are parts of it
    spans = [(int(a), int(b)) for a, b in ablation.targets.spans[1:]]
    return spans, [found.sentence(t) for t in range(1, len(spans) + 1)], {"method": "model", **ablation.record()}


def _targets(prompt: Prompt, marked: Marked) -> Targets:
    """The whole answer, and each of its sentences or their parts."""
    whole = prompt.targets()
    assert whole.spans is not None  # of a response, targets are parts of it
    said = [(int(a), int(b)) for a, b in (whole.spans[1:] if len(whole) > 1 else whole.spans)]
    spans = np.array([whole.spans[0].tolist(), *clauses(marked, said)])
    return Targets([without_tag(marked.claimed[a:b]) for a, b in spans], spans, whole.measure)


@dataclass(frozen=True, eq=False)
class _Behind:
    """The sentences behind all documents, behind each alone, and behind all but each; the model is asked once for all."""

    ablation: ContextAblation
    marked: Marked
    judge: "Judge | None" = None

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.marked.documents)

    @cached_property
    def masks(self) -> list[Bool[np.ndarray, " n"]]:
        """Which sources each document has."""
        groups = self.ablation.sources.groups
        assert groups is not None  # sources cut from documents have them
        return [groups == d for d in range(self.documents)]

    @cached_property
    def values(self) -> Float[np.ndarray, "m t"]:
        """The targets behind all, behind none, behind each document alone, behind all others."""
        everything = np.ones(len(self.ablation.sources), dtype=bool)
        return self.ablation(np.array([everything, ~everything, *self.masks, *(~mask for mask in self.masks)]))

    def alone(self, t: int, d: int) -> float:
        """What a document gives alone, in nats."""
        return float(self.values[2 + d, t] - self.values[1, t])

    def needed(self, t: int, d: int) -> float:
        """What is lost without it."""
        return float(self.values[0, t] - self.values[2 + self.documents + d, t])

    @cached_property
    def signs(self) -> dict[int, Signs]:
        """What the verdict behind all documents goes by."""
        reading, everything = Reading(self.ablation), self.values[0] - self.values[1]
        against = [max(0.0, -min(self.needed(t, d) for d in range(self.documents))) for t in range(len(everything))]
        return reading.doubted({t: reading.signs(t, float(gives), against[t]) for t, gives in enumerate(everything)})

    @cached_property
    def readings(self) -> list[Reading]:
        """The answer behind each document."""
        return [Reading(self.ablation, mask) for mask in self.masks]

    @cached_property
    def shares(self) -> Float[np.ndarray, "t n"]:
        """The share of each sentence's own words that each source has."""
        return relevance(self.ablation)

    def sentence(self, t: int) -> Sentence:
        """The sentence that is target t."""
        assert self.ablation.targets.spans is not None
        start, end = map(int, self.ablation.targets.spans[t])
        supports = tuple(self._told(t, d, start) for d in range(self.documents))
        verdict = verdict_of(self.signs[t])
        is_contrary = any(one.contrary for one in supports) and not any(one.holds for one in supports)
        return Sentence(start, end, "contradicted" if is_contrary and verdict == "context" else verdict, supports)

    @cached_property
    def language(self) -> str:
        """That of the answer."""
        return language_of(self.marked.answer)

    def _told(self, t: int, d: int, start: int) -> Support:
        found = self._support(t, d)
        return (
            found if self.judge else beside(self.ablation.sources, self.ablation.targets.texts[t], start, found, self.language)
        )

    def _support(self, t: int, d: int) -> Support:
        reading, quote = self.readings[d], best_passage(self.ablation.sources, d, self.shares[t])[1]
        if reading.kept is None or not reading.kept.any():  # an empty document
            return Support(d, "unsupported", "words")
        likely = entailed(self.judge, [self.marked.documents[d]], self.ablation.targets.texts[t])
        signs = replace(reading.signs(t, self.alone(t, d), 0.0), rival=self.signs[t].rival, entailed=likely)
        return Support(
            d,
            _verdict(signs, self.needed(t, d)),
            _because(signs),
            stated=signs.stated,
            explained=signs.explained,
            alone=self.alone(t, d),
            needed=self.needed(t, d),
            missing=reading.missing[t],
            quote=quote,
            entailed=likely,
        )


def _verdict(signs: Signs, needed: float) -> Verdict:
    """That of a sentence behind one document. It contradicts where the sentence is likelier without it beside all others.

    A document on something else makes a sentence less likely than no document does, and contradicts nothing.
    """
    if needed <= -max(LEAST_SUPPORT, LEAST_PER_TOKEN * signs.tokens):
        return "contradicted"
    found = verdict_of(signs)
    return "unsupported" if found == "contradicted" else found


def _because(signs: Signs) -> str:
    """The signal that decides a verdict: of two that are added, the higher one for it, the lower one against it."""
    verdict = verdict_of(signs)
    if signs.entailed is not None and verdict_of(replace(signs, entailed=None)) != verdict:
        return "the judge"
    if signs.rival is not None and verdict_of(replace(signs, rival=None)) != verdict:
        return "another name that is likelier"
    if verdict_of(replace(signs, is_missing=False, is_apart=False)) != verdict:
        return "a name or number"
    if signs.stated is None or signs.is_refusal:
        return "words" if signs.is_refusal else "the model"
    return "the model" if (signs.explained >= signs.stated) is (verdict == "context") else "words"
