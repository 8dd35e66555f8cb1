"""An answer with what is cited for each of its sentences: what every vendor's shape is written from."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quote:
    """A source that a sentence cites: which document (from 0), its code points there, and the text of these.

    `name` is what the document is called, always; `title` and `url` are None where they are not known. `pages`: the number of
    the first, and of the last + 1.
    """

    document: int
    id: str
    name: str
    title: str | None
    url: str | None
    text: str
    start: int
    end: int
    pages: tuple[int, int] | None


@dataclass(frozen=True)
class Sentence:
    """A sentence of the answer, its code points there, and what it cites, best first."""

    start: int
    end: int
    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class Cited:
    """An answer, its sentences in order, and what no vendor has a field for (`record`, in plain lists)."""

    answer: str
    sentences: tuple[Sentence, ...]
    record: dict[str, Any]

    @property
    def citing(self) -> list[Sentence]:
        """The sentences that cite something."""
        return [sentence for sentence in self.sentences if sentence.quotes]

    @property
    def blocks(self) -> list[tuple[str, tuple[Quote, ...]]]:
        """The answer in pieces, losing nothing, each with what it cites; none is white space alone, which vendors refuse."""
        cuts: list[tuple[int, int, tuple[Quote, ...]]] = []
        end = 0
        for sentence in (*self.sentences, Sentence(len(self.answer), len(self.answer), ())):
            start = max(sentence.start, end)
            if self.answer[end:start].strip():
                cuts.append((end, start, ()))
            if self.answer[start : sentence.end].strip():
                cuts.append((start, sentence.end, sentence.quotes))
            end = max(end, sentence.end)
        edges = [0, *(start for start, _, _ in cuts[1:]), len(self.answer)]
        return [(self.answer[a:b], quotes) for a, b, (_, _, quotes) in zip(edges, edges[1:], cuts, strict=False)]
