"""What could be removed (`Sources`), and what was said (`Targets`)."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, SupportsIndex

import numpy as np
from jaxtyping import Bool, Int

from llmattr.errors import check_index

Kind = Literal["heading", "paragraph", "item", "row", "code", "quote", "markup", "furniture"]  # of a stretch of a text
Part = Literal["words", "sentences"]  # into which a source can be cut further
Measure = Literal["logit", "logprob"]  # what can be taken of the probability of what was said


@dataclass(frozen=True)
class Document:
    """A text that sources were cut from. `title` is shown to the model above the text; `id` is yours and comes back.

    `metadata` (url, author, date ...) comes back with every citation; `places` says from which character on something else
    holds, in order: `((0, {"page": 1}), (1840, {"page": 2}))`. `format` is how the text is built ("markdown", "html", ...) and
    `language` its ISO 639-1 code; None: as the text itself looks. `blocks` are stretches (start, end, kind) whose kind its file
    shows in letters that the text has not: "heading", "code", the "row" that heads a table, "furniture".
    """

    text: str
    id: str
    title: str | None = None
    format: str | None = field(default=None, repr=False)
    language: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    places: tuple[tuple[int, Mapping[str, Any]], ...] = field(default=(), hash=False, repr=False)
    blocks: tuple[tuple[int, int, Kind], ...] = field(default=(), repr=False)

    def at(self, character: int) -> dict[str, Any]:
        """What is known of this place: the document's metadata, and what holds from there on."""
        here = [known for start, known in self.places if start <= character]
        return {**self.metadata, **(here[-1] if here else {})}


@dataclass(frozen=True, eq=False)
class Sources:
    """The n things that could be removed.

    `spans` are character offsets [n, 2] into the source's document, `groups` [n] is the document's number;
    both are None for sources that are not parts of a text. `blocks` [n] says what each is (heading, paragraph, row, code ...)
    and `quotable` [n] whether a reader would point at it; None: nothing is known, and all are. `columns` is what else is known
    of sources without a document: a training row's own columns.
    """

    kind: str
    ids: Sequence[str]
    texts: Sequence[str]
    spans: Int[np.ndarray, "n 2"] | None = None
    groups: Int[np.ndarray, " n"] | None = None
    documents: tuple[Document, ...] = ()
    blocks: Sequence[str] | None = None
    quotable: Bool[np.ndarray, " n"] | None = None
    columns: Sequence[Mapping[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: SupportsIndex | slice) -> "Sources":
        return self.subset(np.arange(len(self))[check_index(rows, len(self), self.kind)])

    def subset(self, rows: Bool[np.ndarray, " n"] | Int[np.ndarray, " k"]) -> "Sources":
        """The sources at these rows (a mask or row numbers), with the same documents."""
        keep = np.arange(len(self))[rows]
        return dataclasses.replace(
            self,
            ids=[self.ids[i] for i in keep],
            texts=[self.texts[i] for i in keep],
            spans=None if self.spans is None else self.spans[keep],
            groups=None if self.groups is None else self.groups[keep],
            blocks=None if self.blocks is None else [self.blocks[i] for i in keep],
            quotable=None if self.quotable is None else self.quotable[keep],
            columns=None if self.columns is None else [self.columns[i] for i in keep],
        )

    def document(self, source: int) -> Document | None:
        """The document that a source was cut from."""
        return None if self.groups is None else self.documents[self.groups[source]]

    def metadata(self, source: int) -> dict[str, Any]:
        """What is known of a source: its document's metadata and, say, its page; of a training row its own columns."""
        document = self.document(source)
        if document is None:
            return {} if self.columns is None else dict(self.columns[source])
        return dict(document.metadata) if self.spans is None else document.at(int(self.spans[source, 0]))


@dataclass(frozen=True, eq=False)
class Targets:
    """The t things said, each a text and, when it is part of a response, its character offsets [t, 2] there.

    `measure` says what number is taken of each: "logit" = log(p / (1 - p)) of its probability p, "logprob" = log p,
    "loss", "margin", "similarity" for scores that only compare texts, or "value" for the outputs of a black box.
    """

    texts: Sequence[str]
    spans: Int[np.ndarray, "t 2"] | None = None
    measure: str = "logit"

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: SupportsIndex | slice) -> "Targets":
        rows = check_index(rows, len(self), "targets")
        return Targets(self.texts[rows], None if self.spans is None else self.spans[rows], self.measure)
