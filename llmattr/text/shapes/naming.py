"""Which document a marker means."""

import re
from collections.abc import Sequence
from dataclasses import replace

from llmattr.core.sources import Document
from llmattr.text.shapes.marked import Marked, Marker

NAMES = ("title", "source", "file_name", "filename", "file_path", "path", "url", "link")  # of a document, in its metadata
LEAST = 3  # characters of a name that is looked for amid the words of a reference


def named(marked: Marked, documents: Sequence[Document] | None) -> Marked:
    """The markers with the documents that they mean: of these or, where none are given, of what the answer has itself."""
    if documents is None:
        groups: dict[tuple[object, ...], list[Marker]] = {}
        for marker in marked.markers:
            if marker.quote or marker.title or marker.key:
                groups.setdefault((marker.number, marker.name), []).append(marker)
        places = {group: place for place, group in enumerate(groups)}
        found = [replace(marker, document=places.get((marker.number, marker.name))) for marker in marked.markers]
        return replace(marked, markers=tuple(found), documents=tuple(map(_own, groups.values())))
    texts = [_plain(document.text) for document in documents]
    meant = [_meant(marker, documents, texts) for marker in marked.markers]
    numbers = [marker.number - 1 if marker.number and marker.number <= len(documents) else None for marker in marked.markers]
    is_own = any(place not in (None, number) for place, number in zip(meant, numbers, strict=True) if number is not None)
    found = []
    for marker, place, number in zip(marked.markers, meant, numbers, strict=True):
        is_told = (
            marker.title is not None or marker.quote is not None
        )  # then, in an order of the answer's own, a number says nothing
        found.append(replace(marker, document=number if place is None and not (is_own and is_told) else place))
    return replace(marked, markers=tuple(found), documents=tuple(documents))


def _own(same: list[Marker]) -> Document:
    """What an answer has of one document: each quote once."""
    quotes = dict.fromkeys(marker.quote for marker in same if marker.quote)
    return Document("\n".join(quotes), id=same[0].key or same[0].name, title=same[0].title)


def _meant(marker: Marker, documents: Sequence[Document], texts: Sequence[str]) -> int | None:
    """By name and by quote, each among those that the one before leaves, and of these by its number; None: none is told."""
    quote = _plain(marker.quote or "")
    left, known = list(range(len(documents))), False
    for fits in ([_called(marker, document) for document in documents], [int(bool(quote) and quote in text) for text in texts]):
        best = max((fits[i] for i in left), default=0)
        if best:
            left, known = [i for i in left if fits[i] == best], True
    if not known:
        return None
    return marker.number - 1 if marker.number is not None and marker.number - 1 in left else left[0]


def _called(marker: Marker, document: Document) -> int:
    """How well the marker's title and key name the document: all of one best, else by the longest name among their words."""
    given = [document.id, document.title, *(document.metadata.get(name) for name in NAMES)]
    names = {_plain(part) for name in given if isinstance(name, str) for part in (name, name.rsplit("/", 1)[-1])} - {""}
    words = [_plain(text) for text in (marker.key, marker.title) if text]
    if any(text in names for text in words):
        return 10**9
    long = [name for name in names if len(name) >= LEAST and not name.isdecimal()]
    return max((len(name) for name in long for text in words if f" {name} " in f" {text} "), default=0)


def _plain(text: str) -> str:
    """Its words alone, in lower case."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
