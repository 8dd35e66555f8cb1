"""Which document a marker means."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from llmattr.core.sources import Document
from llmattr.text.shapes.marked import Marked, Marker

CALLED = ("title", "source", "file_name", "filename", "file_path")  # what a document is called, where its metadata says so
NAMES = (*CALLED, "path", "url", "link")  # by which an answer may mean it
LEAST = 3  # characters of a name that is looked for amid the words of a reference
QUOTED = 4  # words from which on a reference may be a quote
_KEY = re.compile(  # report.pdf, doc-7, a_b, KB0012; Annual Report 2023, step 3: no word of a text
    r"(?=\S*[\w-][._/-]\w)(?=\S*[^\W\d_])\S{3,}|(?=\S*[^\W\d_])(?=\S*\d)\S{2,}|\S+(?: \S+)+"
)
_STEP = re.compile(r"(step \d+): (?!reasoning)")  # how the id of an agent's step begins, but for what it thought
ALL = 10**9  # what a name is worth that is all that was said: more than any among other words

Known = list[tuple[set[str], str]]  # of each document what it is called, and its text, as words


def named(marked: Marked, documents: Sequence[Document] | None) -> Marked:
    """The markers with the documents that they mean: of these or, where none are given, of what the answer has itself."""
    if documents is None:
        return _with_own(marked)
    known = [(_names(document), _plain(document.text)) for document in documents]
    meant = cache(lambda order, title, key, quote: _meant(order, title, key, quote, known))
    told = (*marked.markers, *marked.listed)
    by_number = [None if one.number is None else one.number - marked.first for one in told]
    orders = [order if order is not None and 0 <= order < len(known) else None for order in by_number]
    places = [meant(order, one.title, one.key, one.quote) for order, one in zip(orders, told, strict=True)]
    has_own_order = any(None not in pair and pair[0] != pair[1] for pair in zip(places, orders, strict=True))
    found = []
    for marker, place, order in zip(told, places, orders, strict=True):
        is_told = marker.title is not None or marker.quote is not None  # then a number of the answer's own order says nothing
        by_order = None if has_own_order and is_told else order
        found.append(replace(marker, document=by_order if place is None else place))
    count = len(marked.markers)
    return replace(marked, markers=tuple(found[:count]), listed=tuple(found[count:]), documents=tuple(documents))


def title_of(document: Document) -> str:
    """What a reader is told that a document is called: its title, what its metadata calls it, or its id.

    >>> title_of(Document("It is red.", "5f0e", metadata={"file_name": "guide.pdf"}))
    'guide.pdf'
    """
    told = (document.metadata.get(name) for name in CALLED)
    return document.title or next((" ".join(one.split()) for one in told if isinstance(one, str) and one.strip()), document.id)


def is_called(documents: Sequence[Document], text: str) -> bool:
    """Whether a text names one of the documents."""
    return any(_called([_plain(text)], _names(document)) for document in documents)


def _with_own(marked: Marked) -> Marked:
    """With what the answer has of each document: each quote once."""
    groups: dict[tuple[object, ...], list[Marker]] = {}
    for marker in marked.markers:
        if marker.quote or marker.title or marker.key:
            groups.setdefault((marker.number, marker.name), []).append(marker)
    places = {group: place for place, group in enumerate(groups)}
    found = [replace(marker, document=places.get((marker.number, marker.name))) for marker in marked.markers]
    quotes = ["\n".join(dict.fromkeys(one.quote for one in same if one.quote)) for same in groups.values()]
    firsts = [same[0] for same in groups.values()]
    documents = [Document(text, one.key or one.name, one.title) for text, one in zip(quotes, firsts, strict=True)]
    return replace(marked, markers=tuple(found), documents=tuple(documents))


def _meant(order: int | None, title: str | None, key: str | None, quote: str | None, known: Known) -> int | None:
    """By name and by quote, each among those that the one before leaves, and of these by its number; None: none is told."""
    said = [_plain(text) for text in (key, title) if text]
    words = _plain(quote or (title if title and len(title.split()) >= QUOTED else ""))
    left, is_told = list(range(len(known))), False
    for worth in ([_called(said, names) for names, _ in known], [int(words != "" and words in text) for _, text in known]):
        best = max((worth[i] for i in left), default=0)
        if best:
            left, is_told = [i for i in left if worth[i] == best], True
    if not is_told:
        return None
    return order if order in left else left[0]


def _called(said: list[str], names: set[str]) -> int:
    """How well a document's names are said: one of them as it is, else the longest of them among other words."""
    if any(text in names for text in said):
        return ALL
    long = [name for name in names if len(name) >= LEAST and not name.isdecimal()]
    return max((len(name) for name in long for text in said if f" {name} " in f" {text} "), default=0)


def own_names(documents: Sequence[Document]) -> dict[str, int]:
    """The number of each document by what it alone is called, in small letters: a file, a key, a title of words, a step.

    Of copies, which have one text, the first is named.
    """
    called = [{name.casefold() for name in _called_by(document) if _KEY.fullmatch(name)} for document in documents]
    texts: dict[str, set[str]] = {}
    for document, names in zip(documents, called, strict=True):
        for name in names:
            texts.setdefault(name, set()).add(document.text)
    known = reversed([*enumerate(called, 1)])
    return {name: number for number, names in known for name in names if len(texts[name]) == 1}


def _called_by(document: Document) -> set[str]:
    step = _STEP.match(document.id)
    return _given(document) | ({step[1]} if step else set())


def _names(document: Document) -> set[str]:
    return {_plain(name) for name in _given(document)} - {""}


def _given(document: Document) -> set[str]:
    """Its id, its title, and its file or address, whole and its last part."""
    given = [document.id, document.title, *(document.metadata.get(name) for name in NAMES)]
    return {part for name in given if isinstance(name, str) for part in (name, name.rsplit("/", 1)[-1])}


def _plain(text: str) -> str:
    """Its words alone, in lower case."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
