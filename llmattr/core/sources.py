"""What could be removed (`Sources`), and what was said (`Targets`)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, SupportsIndex

import numpy as np
from jaxtyping import Bool, Int

from llmattr.errors import check_index

Measure = Literal["logit", "logprob"]  # what can be taken of the probability of what was said


@dataclass(frozen=True)
class Document:
    """A text that sources were cut from. `title` is shown to the model above the text; `id` is yours and comes back."""

    text: str
    id: str
    title: str | None = None


@dataclass(frozen=True, eq=False)
class Sources:
    """The n things that could be removed.

    `spans` are character offsets [n, 2] into the source's document, `groups` [n] is the document's number;
    both are None for sources that are not parts of a text.
    """

    kind: str
    ids: Sequence[str]
    texts: Sequence[str]
    spans: Int[np.ndarray, "n 2"] | None = None
    groups: Int[np.ndarray, " n"] | None = None
    documents: tuple[Document, ...] = ()

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
        )

    def document(self, source: int) -> Document | None:
        """The document that a source was cut from."""
        return None if self.groups is None else self.documents[self.groups[source]]


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
