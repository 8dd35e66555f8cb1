"""What the text of a sentence and its tokens say, before any source is tried: what a verdict is given by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from llmattr.context.relevance import asked, completing, languages, relevance
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.rivals import rivals
from llmattr.core.evidence import CITING, Contrary, Rival, Signs, verdict_of
from llmattr.core.sources import Document, Targets
from llmattr.text.apart import apart, passages
from llmattr.text.contrary import contrary
from llmattr.text.names import missing
from llmattr.text.own_words import OwnWord, own_words
from llmattr.text.refusals import refuses
from llmattr.text.split.languages import language_of

Found = TypeVar("Found", Contrary, Rival)


@dataclass(frozen=True, eq=False)
class Reading:
    """What the targets say, and how likely each token of the response is with the sources that are kept and with none.

    `kept` [n]: which are the whole context; None: every source.
    """

    ablation: ContextAblation
    kept: Bool[np.ndarray, " n"] | None = None

    @property
    def targets(self) -> Targets:
        """The response and its sentences."""
        return self.ablation.targets

    @cached_property
    def _all(self) -> Bool[np.ndarray, " n"]:
        return np.ones(len(self.ablation.sources), dtype=bool) if self.kept is None else self.kept

    @cached_property
    def _both(self) -> Float[np.ndarray, "2 r"]:
        return self.ablation.token_logprobs(np.stack([self._all, np.zeros_like(self._all)]))

    @property
    def full(self) -> Float[np.ndarray, " r"]:
        """The log-probabilities of the response's tokens with every source that is kept."""
        return self._both[0]

    @property
    def empty(self) -> Float[np.ndarray, " r"]:
        """Those with none."""
        return self._both[1]

    @cached_property
    def question(self) -> str:
        """What the user asked."""
        return asked(self.ablation.prompt.messages)

    @cached_property
    def languages(self) -> tuple[str, str] | None:
        """That of the answer and that of the documents, where they are two."""
        return languages(self.ablation.prompt)

    @cached_property
    def parts(self) -> Bool[np.ndarray, "t t"]:
        """Whether target t has target u as a part, [t, u]: the whole response its sentences."""
        assert self.targets.spans is not None  # of a response, targets are parts of it
        starts, ends = self.targets.spans.T
        lengths = ends - starts
        return (starts >= starts[:, None]) & (ends <= ends[:, None]) & (lengths < lengths[:, None])

    @cached_property
    def stated(self) -> Float[np.ndarray, " t"]:
        """The share of each target's own words that one source has; of several sentences, one source for each of them."""
        shares = relevance(self.ablation)[:, self._all].max(axis=1)
        words = np.array([len(own_words(text, self.question)) for text in self.targets.texts])
        weights = np.where(self.parts, words, 0)
        counted = weights.sum(axis=1)
        comparable = np.where(words > 0, shares, 0.0)
        return np.where(counted > 0, weights @ comparable / np.maximum(counted, 1), shares)

    @cached_property
    def missing(self) -> list[tuple[tuple[int, int], ...]]:
        """Each target's names and numbers that stand nowhere in what the model was given, as characters of the response."""
        return [self._missing(t, self._given) for t in range(len(self.targets))]

    @cached_property
    def apart(self) -> list[tuple[tuple[int, int], ...]]:
        """Those that stand there, but not with the rest of what the sentence says; of the response those of its sentences."""
        if self.languages is not None or language_of(self.ablation.prompt.response) != "en":  # which says every subject
            return [() for _ in self.targets.texts]
        alone = [() if self.parts[t].any() else self._apart(t) for t in range(len(self.targets))]
        of = [np.flatnonzero(parts).tolist() or [t] for t, parts in enumerate(self.parts)]
        return [tuple(dict.fromkeys(span for part in parts for span in alone[part])) for parts in of]

    @cached_property
    def _passages(self) -> tuple[list[str], list[str]]:
        """The sentences of the documents that are kept, as they are read, and their rows and items."""
        sources = self.ablation.sources
        groups = np.zeros(len(sources), dtype=int) if sources.groups is None else sources.groups
        documents = sources.documents or (Document(" ".join(sources.texts), "context"),)
        read = [passages(documents[i]) for i in np.unique(groups[self._all]).tolist()]
        return [text for prose, _ in read for text in prose], [text for _, others in read for text in others]

    @property
    def _given(self) -> list[str]:
        """All that the model could read: the documents of which a source is kept, and what else was said."""
        messages, groups = self.ablation.prompt.messages, self.ablation.sources.groups
        if self.kept is None or groups is None:
            return [text for message in messages for text in message.said]
        read = [self.ablation.sources.documents[i] for i in np.unique(groups[self.kept]).tolist()]
        fixed = [part for message in messages for part in message.parts if isinstance(part, str)]
        return fixed + [text for document in read for text in (document.title, document.text) if text]

    def signs(self, t: int, support: float, opposing: float) -> Signs:
        """All that the verdict goes by."""
        own = own_words(self.targets.texts[t], self.question)
        a, b = self.ablation.target_tokens[t]
        tokens = [i for i in range(a, b) if self._has(i, t, own)] or list(range(a, b))
        full, empty = self.full[tokens].sum(), self.empty[tokens].sum()
        return Signs(
            support=support,
            empty=float(self.empty[a:b].sum()),
            tokens=float(b - a),
            explained=float(1 - full / empty) if empty < 0 else 0.0,
            stated=None if np.isnan(self.stated[t]) else float(self.stated[t]),
            is_missing=bool(self.missing[t]),
            is_apart=bool(self.apart[t]),
            opposing=opposing,
            is_refusal=refuses(self.targets.texts[t], self.question),
        )

    def doubted(self, signs: Mapping[int, Signs]) -> dict[int, Signs]:
        """The same, with what speaks against each sentence that would be from the context: a contrary, then a rival name.

        The whole response has the first contrary of its sentences, and the strongest of their rivals. A judge that was asked
        tells contraries by itself.
        """
        contraries = {t: one for t in self._would(signs) if signs[t].entailed is None and (one := self._contrary(t))}
        signs = {t: replace(one, contrary=next(iter(self._within(t, contraries)), None)) for t, one in signs.items()}
        found = rivals(self.ablation, self.question, self.full, self._would(signs))

        def strongest(t: int) -> Rival | None:
            return max(self._within(t, found), key=lambda rival: rival.nats, default=None)

        return {t: replace(one, rival=strongest(t)) for t, one in signs.items()}

    def _would(self, signs: Mapping[int, Signs]) -> list[int]:
        """Of the sentences that would be from the context, each once: the whole response may be one of them."""
        would = [t for t, one in signs.items() if verdict_of(one) in CITING and not self.parts[t].any()]
        return list({self._span(t): t for t in would}.values()) if self.languages is None else []

    def _within(self, t: int, found: Mapping[int, Found]) -> list[Found]:
        """What was found of a target, or of its parts."""
        return [one for s, one in found.items() if self._span(s) == self._span(t) or self.parts[t, s]]

    def _contrary(self, t: int) -> Contrary | None:
        language, start = language_of(self.ablation.prompt.response), self._span(t)[0]
        found = contrary(self.targets.texts[t], self.ablation.sources.texts, self._all, language)
        return found and replace(found, start=start + found.start, end=start + found.end)

    def second_hop(self, t: int, cited: Sequence[int]) -> int | None:
        """A source of another document, that a reader needs beside those that are cited."""
        return completing(f"{self.question} {self.targets.texts[t]}", self.ablation.sources, cited)

    def _missing(self, t: int, given: Sequence[str]) -> tuple[tuple[int, int], ...]:
        found = missing(self.targets.texts[t], given)
        found = found if self.languages is None else [one for one in found if one.kind == "number"]  # names have other forms
        start = self._span(t)[0]
        return tuple((start + one.start, start + one.end) for one in found)

    def _apart(self, t: int) -> tuple[tuple[int, int], ...]:
        start = self._span(t)[0]
        found = apart(self.targets.texts[t], self.question, *self._passages)
        return tuple((start + one.start, start + one.end) for one in found)

    def _span(self, t: int) -> tuple[int, int]:
        assert self.targets.spans is not None  # of a response, targets are parts of it
        start, end = self.targets.spans[t].tolist()
        return start, end

    def _has(self, token: int, t: int, own: Sequence[OwnWord]) -> bool:
        """Whether a token of the response is of one of the target's own words."""
        assert self.ablation.prompt.response_offsets is not None
        start, end = self.ablation.prompt.response_offsets[token] - self._span(t)[0]
        return any(start < word.end and end > word.start for word in own)
