"""The sentences of an answer beside each document, by words, names and numbers alone: what `check` goes by without a model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
import regex
from jaxtyping import Float

from llmattr.context.contrary import beside
from llmattr.context.entailing import entailed
from llmattr.context.standing import Sentence, Support, best_passage, clauses
from llmattr.core.evidence import MISSING, Verdict, judged
from llmattr.core.progress import heed
from llmattr.core.sources import Sources
from llmattr.errors import note
from llmattr.text import split
from llmattr.text.names import missing
from llmattr.text.own_words import own_words, stated
from llmattr.text.refusals import refuses
from llmattr.text.shapes import Marked
from llmattr.text.split.languages import language_of
from llmattr.text.split.talk import without_tag
from llmattr.text.words import Words, read

if TYPE_CHECKING:
    from llmattr.model.judge import Judge

# Of the words of a sentence that two neighbouring sentences of a document have, the mean of all and of those that it adds to
# the question; `MISSING` more where the document lacks a name or number.
WORDED = 0.4
_WITHOUT_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")  # numbers are compared


def by_words(
    marked: Marked, parts: Sources, query: str, language: str | None, judge: "Judge | None"
) -> tuple[list[tuple[int, int]], list[Sentence]]:
    """Each sentence held against each document by words, names and numbers; its language is that of the answer."""
    spoken = language or language_of(marked.answer)
    cuts = split.cut(marked.answer, "sentences", "answer", language)
    said = [(int(a), int(b)) for a, b in (cuts.spans[cuts.quotable] if cuts.quotable.any() else cuts.spans)]
    spans, neighbours = clauses(marked, said, spoken), _neighbours(parts)

    @cache
    def whole(document: int) -> Words:  # it is long, and asked for by each sentence
        one = marked.documents[document]
        return read([part for part in (one.title, one.text) if part], spoken)

    sentences = []
    for start, end in spans:
        text = marked.answer[start:end]
        found = _Worded(marked, parts, query, judge, (start, end), spoken, neighbours=neighbours, whole=whole)
        supports = tuple(found.support(d) for d in range(len(marked.documents)))
        verdict: Verdict = "contradicted" if any(one.contrary for one in supports) else "unsupported"
        verdict = "context" if any(one.holds for one in supports) else verdict
        sentences.append(Sentence(start, end, "refusal" if refuses(text, query) else verdict, supports))
    texts = [marked.answer[one.start : one.end] for one in sentences if all(of.stated is None for of in one.supports)]
    if unread := sum(_WITHOUT_SPACES.search(text) is not None for text in texts):
        note(f"{unread} of {len(sentences)} sentences have no words to compare, in a script without spaces: ask a model")
    return spans, sentences


def _neighbours(parts: Sources) -> list[str]:
    """Each source with the one behind it in its document: "It opened in 1914." says it of what is named before."""
    assert parts.groups is not None  # sources cut from documents have them
    behind = [*parts.texts[1:], ""]
    same = [*(parts.groups[1:] == parts.groups[:-1]), False]
    return [f"{one} {after}" if together else one for one, after, together in zip(parts.texts, behind, same, strict=True)]


@dataclass(frozen=True)
class _Worded:
    """A sentence, held against documents by words alone."""

    marked: Marked
    parts: Sources
    query: str
    judge: "Judge | None"
    span: tuple[int, int]
    language: str
    neighbours: list[str]
    whole: Callable[[int], Words]

    @property
    def text(self) -> str:
        """What the sentence claims."""
        return without_tag(self.marked.claimed[slice(*self.span)])

    @cached_property
    def shares(self) -> Float[np.ndarray, " n"]:
        """What each source and the one behind it have of its words: these decide."""
        return np.mean(
            [stated(own_words(self.text, told, self.language), self.neighbours) for told in ("", self.query)], axis=0
        )

    @cached_property
    def quoted(self) -> Float[np.ndarray, " n"]:
        """What each source alone has of the words that are new: these choose the passage."""
        return stated(own_words(self.text, self.query, self.language), self.parts.texts)

    def support(self, document: int) -> Support:
        """What a document does for it."""
        heed()
        share, _ = best_passage(self.parts, document, self.shares)
        _, quote = best_passage(self.parts, document, self.quoted)
        one, start = self.marked.documents[document], self.span[0]
        lacking = missing(self.text, self.whole(document), self.query, self.language)
        likely = entailed(self.judge, [one], self.text)
        verdict = _verdict(share, bool(lacking), likely)
        spans = tuple((start + name.start, start + name.end) for name in lacking)
        because = _because(verdict, share, bool(lacking), likely)
        found = Support(document, verdict, because, stated=share, missing=spans, quote=quote, entailed=likely)
        return found if self.judge else beside(self.parts, self.text, start, found, self.language)


def _verdict(share: float | None, is_missing: bool, likely: float | None) -> Verdict:
    least = WORDED + (MISSING if is_missing else 0.0) - judged(likely)
    known = share is not None or likely is not None
    return "context" if known and (share or 0.0) >= least else "unsupported"


def _because(verdict: Verdict, share: float | None, is_missing: bool, likely: float | None) -> str:
    """The signal without which the verdict were another."""
    if _verdict(share, is_missing, None) != verdict:
        return "the judge"
    return "a name or number" if _verdict(share, False, likely) != verdict else "words"
